// The adapter panel: one web view, drawn anew while it is seen when the status or the figures change.
import { randomUUID } from "node:crypto";
import * as vscode from "vscode";
import { type Connection, messageOf } from "./connection";
import { panelPage, RUNNABLE } from "./panelPage";
import { HISTORY, type History } from "./protocol";
import { Redraw } from "./redraw";
import type { View } from "./statusView";

const KIND = "code2lora.panel";
const MOST_COMMITS = 60;

export class Panel implements vscode.WebviewPanelSerializer, vscode.Disposable {
  #panel: vscode.WebviewPanel | undefined;
  readonly #redraw = new Redraw(() => this.#draw(), () => this.#panel?.visible ?? false);
  readonly #nonce = randomUUID();
  readonly #registered = vscode.window.registerWebviewPanelSerializer(KIND, this);

  constructor(
    private readonly connection: Connection,
    private readonly view: () => View,
    private readonly document: () => vscode.Uri | undefined,
  ) {}

  /** Bring the panel to the front, beside the editor in use. */
  async open(): Promise<void> {
    if (this.#panel) {
      this.#panel.reveal();
    } else {
      const options = { enableFindWidget: true };
      this.#adopt(vscode.window.createWebviewPanel(KIND, "Adapter", { viewColumn: vscode.ViewColumn.Beside }, options));
    }
    await this.#redraw.now();
  }

  /** A panel that was open when the window was closed. */
  async deserializeWebviewPanel(panel: vscode.WebviewPanel): Promise<void> {
    this.#adopt(panel);
    await this.#redraw.now();
  }

  /** The status changed, or the history. */
  update(): void {
    this.#redraw.soon();
  }

  #adopt(panel: vscode.WebviewPanel): void {
    panel.webview.options = { enableScripts: false, localResourceRoots: [], enableCommandUris: RUNNABLE };
    panel.onDidDispose(() => (this.#panel = undefined));
    panel.onDidChangeViewState(() => this.update());
    this.#panel = panel;
  }

  async #draw(): Promise<void> {
    const { kind, text } = this.view();
    const page = panelPage({ status: { kind, message: text }, history: await this.#history() }, this.#nonce);
    if (this.#panel && this.#panel.webview.html !== page) {
      this.#panel.webview.html = page;
    }
  }

  /** The history, or a sentence that says why there is none. */
  async #history(): Promise<History | string> {
    try {
      return await this.connection.request<History>(HISTORY, { uri: this.document()?.toString(), limit: MOST_COMMITS });
    } catch (error) {
      return `There is nothing to show: ${messageOf(error)}.`;
    }
  }

  dispose(): void {
    this.#redraw.stop();
    this.#registered.dispose();
    this.#panel?.dispose();
  }
}
