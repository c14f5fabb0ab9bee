// Problems are told once, with what can be done about them.
import * as vscode from "vscode";
import type { Installation } from "./installation";

/** What keeps the server from running; the same sentence is shown once. */
export class Problems {
  #last: string | undefined;

  constructor(
    private readonly log: vscode.LogOutputChannel,
    private readonly installation: Installation,
  ) {}

  tell(message: string, canCreate: boolean): void {
    this.log.error(message);
    if (message === this.#last) {
      return;
    }
    this.#last = message;
    void (canCreate ? this.installation.offer(message) : this.#show(message));
  }

  forget(): void {
    this.#last = undefined;
  }

  async #show(message: string): Promise<void> {
    const choice = await vscode.window.showErrorMessage(`code2lora: ${message}`, "Restart", "Open Settings", "Show Logs");
    if (choice === "Restart") {
      await vscode.commands.executeCommand("code2lora.restartServer");
    } else if (choice === "Open Settings") {
      await vscode.commands.executeCommand("workbench.action.openSettings", "code2lora.server.command");
    } else if (choice) {
      this.log.show();
    }
  }
}
