// The interpreter chosen in the Python extension, if that extension is there.
import * as vscode from "vscode";

interface Environments {
  getActiveEnvironmentPath(resource?: vscode.Uri): { id: string; path: string };
  resolveEnvironment(path: { id: string; path: string }): Promise<{ executable: { uri?: vscode.Uri } } | undefined>;
  onDidChangeActiveEnvironmentPath: vscode.Event<unknown>;
}

/** A folder may choose its interpreter, so nothing is asked before the user trusts the folder. */
async function environments(): Promise<Environments | undefined> {
  const extension = vscode.extensions.getExtension<{ environments: Environments }>("ms-python.python");
  return extension && vscode.workspace.isTrusted ? (await extension.activate()).environments : undefined;
}

export async function chosenInPythonExtension(): Promise<string | undefined> {
  const known = await environments();
  const chosen = known?.getActiveEnvironmentPath(vscode.workspace.workspaceFolders?.[0]?.uri);
  return chosen && (await known?.resolveEnvironment(chosen))?.executable.uri?.fsPath;
}

/** Tells when the user chooses another interpreter; nothing without the Python extension. */
export async function whenInterpreterChanges(listener: () => void): Promise<vscode.Disposable | undefined> {
  return (await environments())?.onDidChangeActiveEnvironmentPath(listener);
}
