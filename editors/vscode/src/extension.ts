// A thin client: suggestions come from the library's standard inline completion, and all decisions about
// them are the server's. Here the parts are put together.
import * as fs from "node:fs/promises";
import * as vscode from "vscode";
import { Commands } from "./commands";
import { Comparisons } from "./comparison";
import { Connection } from "./connection";
import { EditorInUse } from "./editorInUse";
import { findServer } from "./findServer";
import { Installation } from "./installation";
import { Panel } from "./panel";
import { Problems } from "./problems";
import { hasPackage, program } from "./programs";
import { DID_FOCUS } from "./protocol";
import { chosenInPythonExtension, whenInterpreterChanges } from "./pythonExtension";
import { StatusItems } from "./statusItems";
import { type View, viewOf } from "./statusView";

const RESTART_FOR = ["code2lora.server.command", "code2lora.interpreter", "code2lora.completion.languages"];

let connection: Connection;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const folder = context.globalStorageUri.fsPath;
  await fs.mkdir(folder, { recursive: true });
  const log = vscode.window.createOutputChannel("code2lora", { log: true });
  const trace = vscode.window.createOutputChannel("code2lora trace", { log: true });
  const items = new StatusItems();
  const comparisons = new Comparisons();
  const installation = new Installation(context, log);
  const inUse = new EditorInUse();
  const problems = new Problems(log, installation);
  let shown: View = { busy: true, kind: "Normal", text: "starting", detail: "" };

  connection = new Connection({
    log,
    trace,
    folder,
    find: () => find(folder, installation),
    executeCommand: (command, args, next) => commands.executeCommand(command, args, next),
    onStatus: (status) => show(viewOf(status)),
    onHistory: () => panel.update(),
    onView: (view) => show(view),
    onReady: async () => {
      problems.forget();
      await focus(inUse.editor); // else the document that was opened last is taken for it
      await commands.toggleAgain();
    },
    onProblem: (message, canCreate) => problems.tell(message, canCreate),
  });
  const commands = new Commands(connection, comparisons, () => inUse.editor, context.extension, folder);
  const panel = new Panel(connection, () => shown, () => inUse.editor?.document.uri);

  function show(view: View): void {
    shown = view;
    items.show(view);
    panel.update();
  }

  async function focus(editor: vscode.TextEditor | undefined): Promise<void> {
    if (editor) {
      const { line, character } = editor.selection.active;
      await connection.notify(DID_FOCUS, { textDocument: { uri: editor.document.uri.toString() }, position: { line, character } });
    }
  }

  function restart(): Promise<void> {
    problems.forget();
    items.select();
    return connection.restart();
  }

  async function followInterpreter(): Promise<void> {
    const listening = await whenInterpreterChanges(() => void (isFromInterpreter() && restart()));
    context.subscriptions.push(...(listening ? [listening] : []));
  }

  const register = vscode.commands.registerCommand;
  context.subscriptions.push(
    log,
    trace,
    items,
    comparisons,
    panel,
    inUse,
    ...commands.register(),
    register("code2lora.openPanel", () => panel.open()),
    register("code2lora.restartServer", restart),
    register("code2lora.showLogs", () => log.show()),
    register("code2lora.createEnvironment", async () => ((await installation.create()) ? restart() : undefined)),
    register("code2lora.openWalkthrough", () => openWalkthrough(context.extension.id)),
    inUse.onChange((editor) => void focus(editor)),
    vscode.workspace.onDidGrantWorkspaceTrust(() => Promise.all([restart(), followInterpreter()])),
    vscode.workspace.onDidChangeConfiguration((event) =>
      RESTART_FOR.some((name) => event.affectsConfiguration(name)) ? restart() : undefined,
    ),
  );
  await Promise.all([connection.restart(), followInterpreter()]);
}

export function deactivate(): Promise<void> | undefined {
  return connection?.stop();
}

/** Another interpreter matters where the server came from one, or there is none yet. */
function isFromInterpreter(): boolean {
  return connection.server === undefined || connection.server.origin === "python extension";
}

function find(folder: string, installation: Installation): ReturnType<typeof findServer> {
  const settings = vscode.workspace.getConfiguration("code2lora");
  return findServer({
    command: settings.get<string | string[]>("server.command", []),
    interpreter: settings.get("interpreter", ""),
    program,
    chosenInPythonExtension,
    privatePython: () => installation.privatePython(),
    hasPackage: (python) => hasPackage(python, folder),
  });
}

function openWalkthrough(extension: string): Thenable<unknown> {
  return vscode.commands.executeCommand("workbench.action.openWalkthrough", `${extension}#code2lora.start`, false);
}
