// Offering and making the private environment, with progress that can be cancelled.
import * as path from "node:path";
import * as vscode from "vscode";
import { messageOf } from "./connection";
import { createEnvironment, packedWheel, privatePython } from "./privateEnvironment";
import { program, pythonVersion } from "./programs";
import { chosenInPythonExtension } from "./pythonExtension";

const CREATE = "code2lora.createEnvironment";
const SIZE = "The server and PyTorch are installed into a folder of this extension; PyTorch is a large download.";
const OLDEST = 10;
const NAMES = ["python3", "python", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"];

export class Installation {
  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  get #storage(): string {
    return this.context.globalStorageUri.fsPath;
  }

  get #version(): string {
    return String(this.context.extension.packageJSON.version);
  }

  privatePython(): Promise<string | undefined> {
    return privatePython({ storage: this.#storage, version: this.#version });
  }

  /** Say what is missing; where an environment would help, offer to make it. */
  async offer(message: string): Promise<void> {
    const choice = await vscode.window.showInformationMessage(
      `code2lora: ${message} Create a private environment for it? ${SIZE}`,
      "Create",
      "Open Settings",
    );
    if (choice === "Create") {
      await vscode.commands.executeCommand(CREATE);
    } else if (choice) {
      await vscode.commands.executeCommand("workbench.action.openSettings", "code2lora.server.command");
    }
  }

  /** True when the environment is there and the server can be started from it. */
  async create(): Promise<boolean> {
    const location = vscode.ProgressLocation.Notification;
    try {
      return await vscode.window.withProgress({ location, cancellable: true, title: "code2lora" }, (progress, token) =>
        this.#make((message) => progress.report({ message }), token),
      );
    } catch (error) {
      this.log.error(messageOf(error));
      void vscode.window
        .showErrorMessage("code2lora: the private environment could not be made; the log says why.", "Show Logs")
        .then((choice) => choice && this.log.show());
      return false;
    }
  }

  async #make(say: (line: string) => void, token: vscode.CancellationToken): Promise<boolean> {
    const abort = new AbortController();
    token.onCancellationRequested(() => abort.abort());
    try {
      say("looking for Python");
      const python = await this.#python();
      const recipe = { storage: this.#storage, version: this.#version, ...(await this.#packed()) };
      this.log.info(`making an environment with ${python}`);
      await createEnvironment(python, recipe, (line) => (this.log.info(line), say(line)), abort.signal);
      return true;
    } catch (error) {
      if (abort.signal.aborted) {
        this.log.info("the private environment was cancelled; nothing of it is left");
        return false;
      }
      throw error;
    }
  }

  async #packed(): Promise<{ wheel: string; constraints: string }> {
    const folder = this.context.asAbsolutePath("server");
    const wheel = await packedWheel(folder);
    if (!wheel) {
      throw new Error(`${folder} holds no wheel: this extension was packed without. Build it with "make vscode".`);
    }
    return { wheel, constraints: path.join(folder, "constraints.txt") };
  }

  /** The first Python of 3.10 or newer that can make environments: as set, as chosen, on PATH. */
  async #python(): Promise<string> {
    const set = vscode.workspace.getConfiguration("code2lora").get("interpreter", "");
    const seen: string[] = [];
    for (const name of [set, await chosenInPythonExtension(), ...NAMES]) {
      const python = name ? await program(name) : undefined;
      if (!python) {
        continue;
      }
      const version = await pythonVersion(python);
      if (version && version[0] === 3 && version[1] >= OLDEST) {
        return python;
      }
      seen.push(`${python} (${version?.join(".") ?? "without venv"})`);
    }
    throw new Error(
      `no Python of 3.${OLDEST} or newer with venv was found; seen: ${seen.join(", ") || "none"}. ` +
        'Install one, or set "code2lora.interpreter" to its path.',
    );
  }
}
