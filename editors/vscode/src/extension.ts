// A thin client: suggestions come from the library's standard inline completion, and all decisions
// about them are the server's. What is here: starting it, one status bar item, commands.
import * as vscode from "vscode";
import {
  type ExecuteCommandSignature,
  LanguageClient,
  RevealOutputChannelOn,
  State,
} from "vscode-languageclient/node";
import { findServer } from "./server";

interface Status {
  busy: boolean;
  kind: "Normal" | "Warning" | "Error" | "Inactive";
  message: string;
}

const ICONS = { Normal: "git-commit", Warning: "warning", Error: "error", Inactive: "circle-slash" };
const RESTART_FOR = ["code2lora.server.command", "code2lora.completion.languages"];
const LONGEST_TEXT = 40;

let client: LanguageClient | undefined;
let item: vscode.StatusBarItem;
let log: vscode.LogOutputChannel;
let lastProblem: string | undefined;
let restarting: Promise<void> = Promise.resolve();

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  log = vscode.window.createOutputChannel("code2lora", { log: true });
  item = vscode.window.createStatusBarItem("code2lora.status", vscode.StatusBarAlignment.Right);
  item.name = "code2lora";
  context.subscriptions.push(
    log,
    item,
    vscode.commands.registerCommand("code2lora.restartServer", () => {
      lastProblem = undefined; // asked for by hand: say again what is wrong
      return restart();
    }),
    vscode.commands.registerCommand("code2lora.showLogs", () => log.show()),
    vscode.workspace.onDidGrantWorkspaceTrust(() => restart()),
    vscode.workspace.onDidChangeConfiguration((event) =>
      RESTART_FOR.some((name) => event.affectsConfiguration(name)) ? restart() : undefined,
    ),
  );
  await restart();
}

export function deactivate(): Promise<void> {
  restarting = restarting.then(stop);
  return restarting;
}

/** Stop the server and start it anew; one at a time. */
function restart(): Promise<void> {
  restarting = restarting.then(stop).then(start).catch((error: unknown) => {
    problem(`code2lora-lsp did not start: ${error instanceof Error ? error.message : String(error)}`);
  });
  return restarting;
}

async function stop(): Promise<void> {
  const old = client;
  client = undefined;
  await old?.dispose().catch((error: unknown) => log.warn(`the server did not stop by itself: ${error}`));
}

async function start(): Promise<void> {
  show({ busy: true, kind: "Normal", message: "starting" }, "code2lora.showLogs");
  const server = await findServer();
  if (typeof server === "string") {
    problem(server);
    return;
  }
  log.info(`starting ${[server.command, ...server.args].join(" ")}`);
  const started = new LanguageClient("code2lora", "code2lora", server, {
    documentSelector: languages().flatMap((language) => [
      { scheme: "file", ...language },
      { scheme: "untitled", ...language },
    ]),
    outputChannel: log,
    revealOutputChannelOn: RevealOutputChannelOn.Never,
    middleware: { executeCommand },
  });
  client = started;
  started.onNotification("code2lora/statusChanged", (status: Status) => show(status, "code2lora.showStatus"));
  started.onDidChangeState(({ newState }) => {
    void vscode.commands.executeCommand("setContext", "code2lora.running", newState === State.Running);
    if (started === client && newState === State.Stopped) {
      show({ busy: false, kind: "Error", message: "the server stopped; see its log" }, "code2lora.showLogs");
    }
  });
  await started.start();
  lastProblem = undefined;
}

/** Documents the server hears about; an empty setting means every language. */
function languages(): { language?: string }[] {
  const ids = vscode.workspace.getConfiguration("code2lora").get<string[]>("completion.languages") ?? [];
  return ids.length ? ids.map((language) => ({ language })) : [{}];
}

/** Server commands act on the repository of the document in use; the status bar shows what they did. */
async function executeCommand(command: string, args: unknown[], next: ExecuteCommandSignature): Promise<unknown> {
  const uri = vscode.window.activeTextEditor?.document.uri;
  const isAboutRepository = command.endsWith("Adapter") && !args.length && uri?.scheme === "file";
  try {
    return await next(command, isAboutRepository ? [{ uri: uri.toString() }] : args);
  } catch (error) {
    void vscode.window.showErrorMessage(`code2lora: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

function show({ busy, kind, message }: Status, onClick: string): void {
  const text = message.length > LONGEST_TEXT ? `${message.slice(0, LONGEST_TEXT)}…` : message;
  item.text = `$(${busy ? "sync~spin" : ICONS[kind]}) ${text}`;
  item.tooltip = `code2lora: ${message}`;
  item.accessibilityInformation = { label: item.tooltip };
  item.command = onClick;
  item.show();
}

/** What keeps the server from running; the same sentence is shown once. */
function problem(message: string): void {
  log.error(message);
  show({ busy: false, kind: "Error", message }, "code2lora.showLogs");
  if (message === lastProblem) {
    return;
  }
  lastProblem = message;
  void vscode.window.showErrorMessage(`code2lora: ${message}`, "Open Settings", "Show Logs").then((choice) => {
    if (choice === "Open Settings") {
      void vscode.commands.executeCommand("workbench.action.openSettings", "code2lora.server.command");
    } else if (choice) {
      log.show();
    }
  });
}
