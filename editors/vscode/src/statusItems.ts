// Where the status is shown: one status bar item, and one language status item beside the language's name.
import * as vscode from "vscode";
import { languages } from "./connection";
import { barText, type View } from "./statusView";

const SEVERITY = {
  Normal: vscode.LanguageStatusSeverity.Information,
  Inactive: vscode.LanguageStatusSeverity.Information,
  Warning: vscode.LanguageStatusSeverity.Warning,
  Error: vscode.LanguageStatusSeverity.Error,
};
const LINKS: [command: string, title: string][] = [
  ["code2lora.openPanel", "Adapter panel"],
  ["code2lora.toggleCompletions", "Toggle suggestions"],
  ["code2lora.showLogs", "Logs"],
];

export class StatusItems implements vscode.Disposable {
  readonly #bar = vscode.window.createStatusBarItem("code2lora.status", vscode.StatusBarAlignment.Right);
  readonly #language = vscode.languages.createLanguageStatusItem("code2lora.status", languages());

  constructor() {
    this.#bar.name = "code2lora";
    this.#bar.command = "code2lora.openPanel";
    this.#language.name = "code2lora";
    this.#language.command = { command: "code2lora.openPanel", title: "Adapter Panel" };
  }

  show(view: View): void {
    const { busy, kind, text, detail } = view;
    this.#bar.text = barText(view);
    this.#bar.tooltip = tooltip(view);
    this.#bar.accessibilityInformation = { label: `code2lora: ${text}. ${detail}` };
    this.#bar.show();
    this.#language.text = text;
    this.#language.detail = detail;
    this.#language.busy = busy;
    this.#language.severity = SEVERITY[kind];
  }

  /** The languages served may have changed. */
  select(): void {
    this.#language.selector = languages();
  }

  dispose(): void {
    this.#bar.dispose();
    this.#language.dispose();
  }
}

function tooltip({ text, detail }: View): vscode.MarkdownString {
  const markdown = new vscode.MarkdownString("", true);
  markdown.isTrusted = { enabledCommands: LINKS.map(([command]) => command) };
  markdown.appendMarkdown("**code2lora** ").appendText(text);
  if (detail) {
    markdown.appendMarkdown("\n\n").appendText(detail);
  }
  return markdown.appendMarkdown(`\n\n${LINKS.map(([command, title]) => `[${title}](command:${command})`).join(" · ")}`);
}
