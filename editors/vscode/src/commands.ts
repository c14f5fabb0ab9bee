// The commands. Those of the server are only given the arguments that the editor knows.
import * as path from "node:path";
import * as vscode from "vscode";
import { type ExecuteCommandSignature, ExecuteCommandRequest } from "vscode-languageclient/node";
import type { Comparisons } from "./comparison";
import { type Connection, listedLanguages, messageOf } from "./connection";
import { debugInformation } from "./debugInformation";
import { STATUS, type Status } from "./protocol";
import { asOption, changedSettings, type Manifest } from "./settings";
import { isServed, type Toggle, Toggles } from "./toggles";

const TOGGLE = "code2lora.toggleCompletions";
const ACCEPTED = "code2lora.accepted";
const SHORTLY_MS = 5000;

export class Commands {
  readonly toggles = new Toggles();

  constructor(
    private readonly connection: Connection,
    private readonly comparisons: Comparisons,
    private readonly editor: () => vscode.TextEditor | undefined,
    private readonly extension: vscode.Extension<unknown>,
    private readonly storage: string,
  ) {}

  register(): vscode.Disposable[] {
    const own: Record<string, () => Promise<unknown>> = {
      "code2lora.toggleForLanguage": () => this.#toggleForLanguage(),
      "code2lora.toggleForFolder": () => this.#toggleForFolder(),
      "code2lora.compare": () => this.#compare(),
      "code2lora.healthCheck": () => this.#healthCheck(),
      "code2lora.copyDebugInformation": () => this.#copyDebugInformation(),
    };
    return Object.entries(own).map(([name, run]) =>
      vscode.commands.registerCommand(name, () => run().catch((error: unknown) => tell(messageOf(error)))),
    );
  }

  /** Commands that the server announced: arguments are added, and what they did is said in a few words. */
  async executeCommand(command: string, given: unknown[], next: ExecuteCommandSignature): Promise<unknown> {
    if (command === ACCEPTED) {
      return next(command, given); // the editor runs it by itself: nobody waits for a word about it
    }
    try {
      const args = given.length ? given : await this.#argumentsOf(command);
      const result: unknown = args && (await next(command, args));
      if (result) {
        this.#report(command, given, result);
      }
      return result;
    } catch (error) {
      tell(messageOf(error));
      return undefined;
    }
  }

  /** A new server is told what the user switched in this window. */
  async toggleAgain(): Promise<void> {
    for (const toggle of this.toggles.all()) {
      await this.connection.request(ExecuteCommandRequest.method, { command: TOGGLE, arguments: [toggle] });
    }
  }

  /** Undefined: the user thought better of it. */
  async #argumentsOf(command: string): Promise<unknown[] | undefined> {
    const uri = this.editor()?.document.uri.toString(); // in no file: the server takes the first folder with a repository
    if (command === "code2lora.exportAdapter") {
      const to = await folderForExport();
      return to === undefined ? undefined : [{ uri, to }];
    }
    return command.endsWith("Adapter") && uri ? [{ uri }] : [];
  }

  #report(command: string, given: unknown[], result: unknown): void {
    if (command === TOGGLE) {
      const { scope, enabled } = result as { scope: string; enabled: boolean };
      this.toggles.remember((given[0] ?? {}) as Toggle, enabled);
      void vscode.window.setStatusBarMessage(`code2lora: suggestions ${enabled ? "on" : "off"}, ${scope}`, SHORTLY_MS);
      void (enabled || vscode.commands.executeCommand("editor.action.inlineSuggest.hide"));
    } else if (command === "code2lora.exportAdapter") {
      const { folder, rank, kept } = result as { folder: string; rank: number; kept: number };
      void vscode.window.showInformationMessage(
        `code2lora: the adapter is in ${folder}; rank ${rank} keeps ${Math.round(100 * kept)} % of it.`,
      );
    }
  }

  #file(): vscode.Uri | undefined {
    const uri = this.editor()?.document.uri;
    return uri?.scheme === "file" ? uri : undefined;
  }

  async #toggleForLanguage(): Promise<void> {
    const language = this.editor()?.document.languageId;
    if (!language) {
      throw new Error("open a file first: its language is meant");
    }
    await (isServed(listedLanguages(), language) ? toggle({ language }) : this.#offerToList(language));
  }

  /** No switch helps where the server hears of no such document; listed, the language is served after a restart. */
  async #offerToList(language: string): Promise<void> {
    const message = `code2lora: nothing is offered for ${language}: "code2lora.completion.languages" does not list it.`;
    if (await vscode.window.showInformationMessage(message, "Add It")) {
      this.toggles.remember({ language }, true); // it may have been switched off while it was listed
      await listLanguage(language);
    }
  }

  /** The workspace folder of the document in use; outside of all, the folder it is in. */
  async #toggleForFolder(): Promise<void> {
    const uri = this.#file();
    if (!uri) {
      throw new Error("open a file first: its folder is meant");
    }
    await toggle({ folder: vscode.workspace.getWorkspaceFolder(uri)?.uri.fsPath ?? path.dirname(uri.fsPath) });
  }

  async #compare(): Promise<void> {
    const editor = this.editor();
    if (!editor) {
      throw new Error("put the cursor where you want to compare first");
    }
    await this.comparisons.show(this.connection, editor);
  }

  /** In a task's terminal, which stays open to be read. */
  async #healthCheck(): Promise<void> {
    const server = this.connection.server;
    if (!server) {
      throw new Error("no server has been found yet, so there is none to check; see the log");
    }
    const options = Object.entries(this.#changedSettings()).flatMap(([name, value]) => asOption(name, value));
    const folder = this.#folder();
    const args = [...server.args, ...options, "--check", ...(folder ? [folder] : [])];
    const run = new vscode.ProcessExecution(server.command, args, { cwd: this.storage });
    const task = new vscode.Task({ type: "code2lora" }, vscode.TaskScope.Workspace, "health check", "code2lora", run);
    task.presentationOptions = { reveal: vscode.TaskRevealKind.Always, clear: true };
    await vscode.tasks.executeTask(task);
  }

  #folder(): string | undefined {
    const uri = this.#file();
    return ((uri && vscode.workspace.getWorkspaceFolder(uri)) ?? vscode.workspace.workspaceFolders?.[0])?.uri.fsPath;
  }

  #changedSettings(): Record<string, unknown> {
    const configuration = vscode.workspace.getConfiguration();
    return changedSettings(this.extension.packageJSON as Manifest, (name) => configuration.get(name));
  }

  async #copyDebugInformation(): Promise<void> {
    const status = this.connection.isRunning ? await this.connection.request<Status>(STATUS, {}) : undefined;
    const text = debugInformation(
      {
        extension: String(this.extension.packageJSON.version),
        vscode: vscode.version,
        platform: `${process.platform} ${process.arch}`,
        remote: vscode.env.remoteName,
        isTrusted: vscode.workspace.isTrusted,
        nFolders: vscode.workspace.workspaceFolders?.length ?? 0,
        origin: this.connection.server?.origin,
        settings: this.#changedSettings(),
      },
      status,
    );
    await vscode.env.clipboard.writeText(text);
    void vscode.window.showInformationMessage("code2lora: debug information is in the clipboard; it holds no paths and no code.");
  }
}

async function toggle(what: Toggle): Promise<void> {
  await vscode.commands.executeCommand(TOGGLE, what);
}

/** Into the setting where it is: this workspace's, else the user's. The change restarts the server. */
async function listLanguage(language: string): Promise<void> {
  const settings = vscode.workspace.getConfiguration("code2lora");
  const isOfWorkspace = settings.inspect("completion.languages")?.workspaceValue !== undefined;
  const target = isOfWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
  await settings.update("completion.languages", [...listedLanguages(), language], target);
}

/** A new folder inside one the user chooses, as an absolute path where the server runs. */
async function folderForExport(): Promise<string | undefined> {
  const options = { canSelectFolders: true, canSelectFiles: false, openLabel: "Export Here", title: "Export the adapter as PEFT" };
  const [chosen] = (await vscode.window.showOpenDialog(options)) ?? [];
  return chosen && path.join(chosen.fsPath, "code2lora-adapter");
}

export function tell(message: string): void {
  void vscode.window.showErrorMessage(`code2lora: ${message}`);
}
