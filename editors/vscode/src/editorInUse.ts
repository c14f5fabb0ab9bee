// Which editor a command means while the panel or the log has the focus, and when its cursor comes to rest.
import * as vscode from "vscode";
import { Resting } from "./resting";

/** The editor the user last wrote in; the panel and the log are no such thing. */
export class EditorInUse implements vscode.Disposable {
  editor = [vscode.window.activeTextEditor].find(isWrittenIn);
  readonly #changed = new vscode.EventEmitter<vscode.TextEditor>();
  /** Another editor is in use, or the cursor rests at another place in it. */
  readonly onChange = this.#changed.event;
  readonly #resting = new Resting(() => this.editor && this.#changed.fire(this.editor));
  readonly #listeners = vscode.Disposable.from(
    vscode.window.onDidChangeActiveTextEditor((editor) => {
      if (isWrittenIn(editor)) {
        this.editor = editor;
        this.#changed.fire(editor);
      }
    }),
    vscode.workspace.onDidChangeTextDocument(({ document }) => {
      if (document === this.editor?.document) {
        this.#resting.typed();
      }
    }),
    vscode.window.onDidChangeTextEditorSelection(({ textEditor }) => {
      if (textEditor !== this.editor) {
        return;
      }
      if (textEditor.selection.isEmpty) {
        this.#resting.moved();
      } else {
        this.#resting.stop();
      }
    }),
  );

  dispose(): void {
    this.#resting.stop();
    this.#listeners.dispose();
    this.#changed.dispose();
  }
}

/** In a file, or in none yet. */
function isWrittenIn(editor: vscode.TextEditor | undefined): editor is vscode.TextEditor {
  return editor !== undefined && ["file", "untitled"].includes(editor.document.uri.scheme);
}
