// Which program is the server: the order of the search, without the places themselves.

export type Origin = "setting" | "interpreter" | "PATH" | "python extension" | "private environment";

export interface Server {
  command: string;
  args: string[];
  origin: Origin;
}

/** Nothing to start: why, and whether a private environment would help. */
export interface Missing {
  message: string;
  canCreate: boolean;
}

/** Where to look. All paths are absolute; `undefined` and empty mean that there is none. */
export interface Places {
  command: string | string[];
  interpreter: string;
  program(nameOrPath: string): Promise<string | undefined>;
  chosenInPythonExtension(): Promise<string | undefined>;
  privatePython(): Promise<string | undefined>;
  hasPackage(python: string): Promise<boolean>;
}

const PROGRAM = "code2lora-lsp";
const MODULE = ["-m", "code2lora_lsp"];

/** The first that holds: settings, PATH, the Python extension's interpreter, the private environment. */
export async function findServer(places: Places): Promise<Server | Missing> {
  const [command, ...args] = typeof places.command === "string" ? [places.command] : places.command;
  if (command?.trim()) {
    return named(places, command.trim(), args);
  }
  if (places.interpreter.trim()) {
    return ofInterpreter(places, places.interpreter.trim());
  }
  const onPath = await places.program(PROGRAM);
  if (onPath) {
    return { command: onPath, args: [], origin: "PATH" };
  }
  return inEnvironments(places);
}

async function named(places: Places, command: string, args: string[]): Promise<Server | Missing> {
  const found = await places.program(command);
  return found
    ? { command: found, args, origin: "setting" }
    : wrong("server.command", command, "there is no such program", "look on PATH");
}

/** A Python that lacks the package may be set to make the private environment with, which then stands in for it. */
async function ofInterpreter(places: Places, interpreter: string): Promise<Server | Missing> {
  const python = await places.program(interpreter);
  if (!python) {
    return wrong("interpreter", interpreter, "there is no such program", "let it be looked for");
  }
  if (await places.hasPackage(python)) {
    return { command: python, args: MODULE, origin: "interpreter" };
  }
  return (await inPrivateEnvironment(places)) ?? {
    message: `"code2lora.interpreter" is ${interpreter}, and ${PROGRAM} is not installed there.`,
    canCreate: true,
  };
}

function wrong(setting: string, value: string, seen: string, whatEmptyDoes: string): Missing {
  const remedy = `Correct the setting, or empty it to ${whatEmptyDoes}.`;
  return { message: `"code2lora.${setting}" is ${value}, and ${seen}. ${remedy}`, canCreate: false };
}

async function inEnvironments(places: Places): Promise<Server | Missing> {
  const chosen = await places.chosenInPythonExtension();
  if (chosen && (await places.hasPackage(chosen))) {
    return { command: chosen, args: MODULE, origin: "python extension" };
  }
  const own = await inPrivateEnvironment(places);
  if (own) {
    return own;
  }
  const looked = chosen ? `neither on PATH nor installed for ${chosen}` : "not on PATH";
  return { message: `The server ${PROGRAM} is ${looked}.`, canCreate: true };
}

async function inPrivateEnvironment(places: Places): Promise<Server | undefined> {
  const own = await places.privatePython();
  return own ? { command: own, args: MODULE, origin: "private environment" } : undefined;
}
