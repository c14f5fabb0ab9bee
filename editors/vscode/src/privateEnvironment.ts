// A virtual environment of our own, filled from the wheel that is packed with the extension.
import { spawn } from "node:child_process";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import * as readline from "node:readline";

/** Written last: an environment without it is half made and is never used. */
const DONE = ".complete";
const NEWEST_LINES = 20;
const IS_WINDOWS = process.platform === "win32";

/** What is installed, and where to; `version` names the folder, so that an update makes a new one. */
export interface Recipe {
  storage: string;
  version: string;
  wheel: string;
  constraints: string;
}

/** The Python of the finished environment of this version, or undefined. */
export async function privatePython({ storage, version }: Pick<Recipe, "storage" | "version">): Promise<string | undefined> {
  const folder = folderOf(storage, version);
  try {
    await fs.access(path.join(folder, DONE));
    return pythonIn(folder);
  } catch {
    return undefined;
  }
}

/** The one wheel in `folder`, or undefined: a build from source may come without. */
export async function packedWheel(folder: string): Promise<string | undefined> {
  const names = await fs.readdir(folder).catch(() => []);
  const wheel = names.find((name) => name.endsWith(".whl"));
  return wheel && path.join(folder, wheel);
}

/**
 * Make the environment anew, whole or not at all; returns its Python. One that was there stays if this fails.
 *
 * @param say hears each line the programs print
 * @throws Error that holds the last lines printed by the program that failed, or that was ended by `signal`
 */
export async function createEnvironment(
  python: string,
  recipe: Recipe,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const folder = folderOf(recipe.storage, recipe.version);
  const before = `${folder}.before`;
  await fs.mkdir(recipe.storage, { recursive: true });
  if (await privatePython(recipe)) {
    await remove(before);
    await fs.rename(folder, before); // programs in it name their folder, so the new one is made in its place
  }
  await remove(folder);
  try {
    const run = (command: string, args: string[]) => runTold(command, ["-I", "-m", ...args], recipe.storage, say, signal);
    const own = pythonIn(folder);
    const install = ["pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"];
    await run(python, ["venv", folder]);
    await run(own, [...install, "-c", recipe.constraints, recipe.wheel]);
    await run(own, ["code2lora_lsp", "--version"]);
    await fs.writeFile(path.join(folder, DONE), recipe.version);
    await remove(before);
    return own;
  } catch (error) {
    await remove(folder);
    await fs.rename(before, folder).catch(() => undefined); // mostly there was none
    throw error;
  }
}

function remove(folder: string): Promise<void> {
  return fs.rm(folder, { recursive: true, force: true });
}

function folderOf(storage: string, version: string): string {
  return path.join(storage, `environment-${version}`);
}

function pythonIn(folder: string): string {
  return IS_WINDOWS ? path.join(folder, "Scripts", "python.exe") : path.join(folder, "bin", "python");
}

async function runTold(
  command: string,
  args: string[],
  cwd: string,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const lines: string[] = [];
  // a group of its own: what these programs start in turn must end with them
  const child = spawn(command, args, { cwd, detached: !IS_WINDOWS, stdio: ["ignore", "pipe", "pipe"] });
  const end = () => (IS_WINDOWS ? child.kill() : process.kill(-child.pid!));
  signal.addEventListener("abort", end);
  for (const stream of [child.stdout, child.stderr]) {
    readline.createInterface({ input: stream, crlfDelay: Infinity }).on("line", (line) => {
      lines.push(line);
      say(line);
    });
  }
  return new Promise<void>((done, failed) => {
    child.on("error", failed);
    child.on("close", (code) => {
      const last = lines.slice(-NEWEST_LINES).join("\n");
      return code === 0 ? done() : failed(new Error(`${[command, ...args].join(" ")} ended with code ${code}:\n${last}`));
    });
  }).finally(() => signal.removeEventListener("abort", end));
}
