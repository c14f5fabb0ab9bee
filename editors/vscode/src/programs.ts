// Programs on this machine, found without ever looking into a workspace.
import { execFile } from "node:child_process";
import * as fs from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const ANSWER_WITHIN_MS = 60_000;

/** A program by its absolute path, a path under `~`, or its name in the absolute folders of PATH. */
export async function program(nameOrPath: string): Promise<string | undefined> {
  const wanted = nameOrPath.replace(/^~(?=[/\\])/, os.homedir());
  if (path.isAbsolute(wanted)) {
    return executable(wanted);
  }
  if (path.basename(wanted) !== wanted) {
    return undefined; // relative to which folder? a workspace must not choose what is run
  }
  for (const folder of (process.env.PATH ?? "").split(path.delimiter).filter(path.isAbsolute)) {
    const found = await executable(path.join(folder, wanted));
    if (found) {
      return found;
    }
  }
  return undefined;
}

/** Is `code2lora-lsp` installed for this Python? It runs in `folder`, because `-m` also imports from there. */
export async function hasPackage(python: string, folder: string): Promise<boolean> {
  try {
    await run(python, ["-m", "code2lora_lsp", "--version"], { cwd: folder, timeout: ANSWER_WITHIN_MS });
    return true;
  } catch {
    return false;
  }
}

/** [3, 11] and the like; undefined where it does not run or cannot make virtual environments. */
export async function pythonVersion(python: string): Promise<[number, number] | undefined> {
  const ask = "import sys, venv, ensurepip; print(*sys.version_info[:2])";
  try {
    const { stdout } = await run(python, ["-I", "-c", ask], { timeout: ANSWER_WITHIN_MS });
    const [major = 0, minor = 0] = stdout.trim().split(" ").map(Number);
    return [major, minor];
  } catch {
    return undefined;
  }
}

async function executable(file: string): Promise<string | undefined> {
  for (const candidate of process.platform === "win32" ? [file, `${file}.exe`] : [file]) {
    try {
      await fs.access(candidate, fs.constants.X_OK);
      if ((await fs.stat(candidate)).isFile()) {
        return candidate;
      }
    } catch {
      continue; // not here
    }
  }
  return undefined;
}
