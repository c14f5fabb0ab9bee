// The same cursor completed with and without the adapter, side by side in the editor's own diff.
import * as vscode from "vscode";
import type { Connection } from "./connection";
import { COMPARE, type Comparison } from "./protocol";
import { inserted, titleOf } from "./comparisonText";

const SCHEME = "code2lora-compare";

export class Comparisons implements vscode.TextDocumentContentProvider, vscode.Disposable {
  readonly #texts = new Map<string, string>();
  readonly #registered = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  readonly #closed = vscode.workspace.onDidCloseTextDocument(({ uri }) => this.#texts.delete(uri.toString()));
  #number = 0;

  provideTextDocumentContent(uri: vscode.Uri): string | undefined {
    return this.#texts.get(uri.toString());
  }

  /** @throws Error where the server does not run or refuses */
  async show(connection: Connection, editor: vscode.TextEditor): Promise<void> {
    const { document, selection } = editor;
    const { active } = selection;
    const position = { line: active.line, character: active.character };
    const answer = await connection.request<Comparison>(COMPARE, { textDocument: { uri: document.uri.toString() }, position });
    if (!answer.withAdapter.text && !answer.without.text) {
      const why = answer.withAdapter.reason?.message ?? "the model proposed nothing";
      void vscode.window.showInformationMessage(`code2lora: nothing to compare here: ${why}.`);
      return;
    }
    const offset = document.offsetAt(active);
    const [left, right] = [answer.without, answer.withAdapter].map(({ text }, side) =>
      this.#keep(document, side, inserted(document.getText(), offset, text)),
    );
    const options: vscode.TextDocumentShowOptions = { selection: new vscode.Range(active, active), preview: true };
    await vscode.commands.executeCommand("vscode.diff", left, right, titleOf(answer, active.line + 1), options);
  }

  /** An address that ends like the document's, so that it is coloured alike. */
  #keep(document: vscode.TextDocument, side: number, text: string): vscode.Uri {
    const name = document.uri.path.split("/").at(-1) ?? "document";
    const uri = vscode.Uri.from({ scheme: SCHEME, path: `/${(this.#number += 1)}/${side ? "with" : "without"}/${name}` });
    this.#texts.set(uri.toString(), text);
    return uri;
  }

  dispose(): void {
    this.#registered.dispose();
    this.#closed.dispose();
  }
}
