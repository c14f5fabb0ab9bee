// The one owner of the language client: starts the server, starts it again when it ends by itself, ends it.
import * as readline from "node:readline";
import type { Readable } from "node:stream";
import * as vscode from "vscode";
import {
  CloseAction,
  ErrorAction,
  type ExecuteCommandSignature,
  LanguageClient,
  type LanguageClientOptions,
  RevealOutputChannelOn,
  State,
} from "vscode-languageclient/node";
import { Backoff } from "./backoff";
import type { Missing, Server } from "./findServer";
import { HISTORY_CHANGED, type ShortStatus, STATUS_CHANGED } from "./protocol";
import type { View } from "./statusView";

/** What the rest of the extension provides and hears. */
export interface Surroundings {
  log: vscode.LogOutputChannel;
  trace: vscode.LogOutputChannel;
  /** Where the server runs: an empty folder of ours, because `python -m` imports from where it runs. */
  folder: string;
  find(): Promise<Server | Missing>;
  executeCommand(command: string, args: unknown[], next: ExecuteCommandSignature): Promise<unknown>;
  onStatus(status: ShortStatus): void;
  /** A commit was written down, or scored. */
  onHistory(): void;
  /** Anything the server cannot say itself: it starts, it is gone. */
  onView(view: View): void;
  onReady(): Promise<void>;
  onProblem(message: string, canCreate: boolean): void;
}

export class Connection {
  #client: LanguageClient | undefined;
  #queue: Promise<void> = Promise.resolve();
  #again: NodeJS.Timeout | undefined;
  readonly #backoff = new Backoff();
  /** The server in use, or the last one that was. */
  server: Server | undefined;

  constructor(private readonly around: Surroundings) {}

  /** Stop the server and start it anew, because the user or a setting asks for it. One at a time. */
  restart(): Promise<void> {
    this.#backoff.reset();
    return this.#restart(false);
  }

  stop(): Promise<void> {
    clearTimeout(this.#again);
    this.#queue = this.#queue.then(() => this.#stop());
    return this.#queue;
  }

  get isRunning(): boolean {
    return this.#client?.state === State.Running;
  }

  /** @throws Error where no server runs, or the server refuses; its message is for the user */
  async request<T>(method: string, params: unknown): Promise<T> {
    if (!this.#client || !this.isRunning) {
      throw new Error("the server does not run; restart it, or look at its log");
    }
    return this.#client.sendRequest<T>(method, params);
  }

  /** Nothing happens where no server runs. */
  async notify(method: string, params: unknown): Promise<void> {
    if (this.isRunning) {
      await this.#client?.sendNotification(method, params);
    }
  }

  #restart(isAutomatic: boolean): Promise<void> {
    clearTimeout(this.#again);
    this.#queue = this.#queue
      .then(() => this.#stop())
      .then(() => this.#start())
      .catch((error: unknown) => this.#failed(messageOf(error), isAutomatic));
    return this.#queue;
  }

  async #stop(): Promise<void> {
    const old = this.#client;
    this.#client = undefined;
    await old?.dispose().catch((error: unknown) => this.around.log.warn(`the server did not end by itself: ${messageOf(error)}`));
  }

  async #start(): Promise<void> {
    this.around.onView({ busy: true, kind: "Normal", text: "starting", detail: "" });
    const found = await this.around.find();
    if ("message" in found) {
      this.#noServer(found.message, found.canCreate);
      return;
    }
    this.server = found;
    this.around.log.info(`starting ${[found.command, ...found.args].join(" ")} (from: ${found.origin})`);
    const client = new LanguageClient("code2lora", "code2lora", { ...found, options: { cwd: this.around.folder } }, this.#options());
    this.#client = client;
    client.onNotification(STATUS_CHANGED, (status: ShortStatus) => this.around.onStatus(status));
    client.onNotification(HISTORY_CHANGED, () => this.around.onHistory());
    client.onDidChangeState(({ newState }) => {
      void vscode.commands.executeCommand("setContext", "code2lora.running", newState === State.Running);
      if (client === this.#client && newState === State.Stopped) {
        this.#failed("the server stopped", true);
      }
    });
    await client.start();
    await this.around.onReady();
  }

  #options(): LanguageClientOptions {
    return {
      documentSelector: languages().flatMap((language) => [
        { scheme: "file", ...language },
        { scheme: "untitled", ...language },
      ]),
      outputChannel: this.around.log,
      traceOutputChannel: this.around.trace,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      stdioOptions: { stdout: () => undefined, stderr: (stream) => this.#hear(stream) },
      // starting again is ours: a new client each time, after a wait that grows
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => ({ action: CloseAction.DoNotRestart, message: "the connection to the server is closed", handled: true }),
      },
      middleware: { executeCommand: (command, args, next) => this.around.executeCommand(command, args, next) },
    };
  }

  /** What the server writes to stderr; what it logs arrives as messages of the protocol too. */
  #hear(stream: Readable): void {
    readline.createInterface({ input: stream }).on("line", (line) => this.around.log.info(line));
  }

  /** The server ended, or did not come up. By itself it is tried again only if it ran before. */
  #failed(what: string, isAutomatic: boolean): void {
    clearTimeout(this.#again);
    const delayS = isAutomatic ? this.#backoff.next(performance.now() / 1000) : undefined;
    if (delayS === undefined) {
      this.#noServer(isAutomatic ? `${what} again and again` : `the server did not start: ${what}`, false);
      return;
    }
    this.around.log.warn(`${what}; it starts again in ${delayS} s`);
    this.around.onView({ busy: true, kind: "Warning", text: `${what}; again in ${delayS} s`, detail: "" });
    this.#again = setTimeout(() => void this.#restart(true), 1000 * delayS);
  }

  #noServer(message: string, canCreate: boolean): void {
    this.around.onView({ busy: false, kind: "Error", text: "no server", detail: message });
    this.around.onProblem(message, canCreate);
  }
}

/** Documents the server hears about; an empty setting means every language. */
export function languages(): { language: string }[] {
  const listed = listedLanguages();
  return (listed.length ? listed : ["*"]).map((language) => ({ language }));
}

export function listedLanguages(): string[] {
  return vscode.workspace.getConfiguration("code2lora").get<string[]>("completion.languages", []);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
