// Where the server is: the setting, PATH, or the interpreter chosen in the Python extension.
import { execFile } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { promisify } from "node:util";
import * as vscode from "vscode";

export interface Server {
  command: string;
  args: string[];
}

/** The server to start, or a sentence that says where it was looked for and what to do. */
export async function findServer(): Promise<Server | string> {
  const setting = vscode.workspace.getConfiguration("code2lora").get<string | string[]>("server.command");
  const [command, ...args] = typeof setting === "string" ? [setting] : (setting ?? []);
  if (command?.trim()) {
    return configured(command.trim().replace(/^~(?=[/\\])/, os.homedir()), args);
  }
  const onPath = await find("code2lora-lsp");
  return onPath ? { command: onPath, args: [] } : await inInterpreter();
}

async function configured(command: string, args: string[]): Promise<Server | string> {
  const found = path.isAbsolute(command) ? await executable(command) : await find(command);
  return found
    ? { command: found, args }
    : `"code2lora.server.command" is ${command}, and there is no such program. Correct the setting, or empty it to look on PATH.`;
}

async function inInterpreter(): Promise<Server | string> {
  const remedy = 'Install code2lora-lsp, or point "code2lora.server.command" at it.';
  const python = await interpreter();
  if (!python) {
    return `code2lora-lsp is not on PATH. ${remedy}`;
  }
  const args = ["-m", "code2lora_lsp"];
  try {
    await promisify(execFile)(python, [...args, "--version"], { cwd: os.homedir(), timeout: 60_000 });
    return { command: python, args };
  } catch {
    return `code2lora-lsp is neither on PATH nor installed for ${python}. ${remedy}`;
  }
}

/** The folder chooses its interpreter, so it is only asked for in folders the user trusts. */
async function interpreter(): Promise<string | undefined> {
  const extension = vscode.extensions.getExtension("ms-python.python");
  if (!extension || !vscode.workspace.isTrusted) {
    return undefined;
  }
  const { environments } = await extension.activate();
  const chosen = environments.getActiveEnvironmentPath(vscode.workspace.workspaceFolders?.[0]?.uri);
  return (await environments.resolveEnvironment(chosen))?.executable.uri?.fsPath;
}

/** A program by its name, in the absolute folders of PATH: never in the workspace. */
async function find(name: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? "").split(path.delimiter).filter(path.isAbsolute)) {
    const found = await executable(path.join(folder, name));
    if (found) {
      return found;
    }
  }
  return undefined;
}

async function executable(file: string): Promise<string | undefined> {
  for (const candidate of process.platform === "win32" ? [file, `${file}.exe`] : [file]) {
    try {
      await fs.promises.access(candidate, fs.constants.X_OK);
      if ((await fs.promises.stat(candidate)).isFile()) {
        return candidate;
      }
    } catch {
      continue; // not here
    }
  }
  return undefined;
}
