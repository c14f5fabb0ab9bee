// Which editor a command means while the panel or the log has the focus.
import * as vscode from "vscode";

/** The editor the user last wrote in; the panel and the log are no such thing. */
export class EditorInUse implements vscode.Disposable {
  editor = [vscode.window.activeTextEditor].find(isWrittenIn);
  readonly #changed = new vscode.EventEmitter<vscode.TextEditor>();
  readonly onChange = this.#changed.event;
  readonly #listener = vscode.window.onDidChangeActiveTextEditor((editor) => {
    if (isWrittenIn(editor)) {
      this.editor = editor;
      this.#changed.fire(editor);
    }
  });

  dispose(): void {
    this.#listener.dispose();
    this.#changed.dispose();
  }
}

/** In a file, or in none yet. */
function isWrittenIn(editor: vscode.TextEditor | undefined): editor is vscode.TextEditor {
  return editor !== undefined && ["file", "untitled"].includes(editor.document.uri.scheme);
}
