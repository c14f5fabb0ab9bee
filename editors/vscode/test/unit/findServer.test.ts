import assert from "node:assert/strict";
import { test } from "node:test";
import { findServer, type Places } from "../../src/findServer";

const EVERYWHERE: Places = {
  command: [],
  interpreter: "",
  program: (name) => Promise.resolve(name.startsWith("/") ? name : `/bin/${name}`),
  chosenInPythonExtension: () => Promise.resolve("/project/.venv/bin/python"),
  privatePython: () => Promise.resolve("/storage/environment/bin/python"),
  hasPackage: () => Promise.resolve(true),
};
const NOT_ON_PATH = { program: (name: string) => Promise.resolve(name.startsWith("/") ? name : undefined) };

async function found(changes: Partial<Places>): Promise<string> {
  const result = await findServer({ ...EVERYWHERE, ...changes });
  return "message" in result ? result.message : `${result.origin}: ${[result.command, ...result.args].join(" ")}`;
}

test("the command of the settings comes before everything, with its arguments", async () => {
  const command = ["/opt/code2lora-lsp", "--log-file", "x.log"];
  assert.equal(await found({ command, interpreter: "/usr/bin/python3" }), "setting: /opt/code2lora-lsp --log-file x.log");
  assert.equal(await found({ command: "  mine " }), "setting: /bin/mine");
});

test("then the interpreter of the settings, PATH, the Python extension, the private environment", async () => {
  const module = "-m code2lora_lsp";
  assert.equal(await found({ interpreter: "/usr/bin/python3" }), `interpreter: /usr/bin/python3 ${module}`);
  assert.equal(await found({}), "PATH: /bin/code2lora-lsp");
  assert.equal(await found(NOT_ON_PATH), `python extension: /project/.venv/bin/python ${module}`);
  const without = { ...NOT_ON_PATH, hasPackage: () => Promise.resolve(false) };
  assert.equal(await found(without), `private environment: /storage/environment/bin/python ${module}`);
});

test("a setting that names nothing is an error that says so, not a search elsewhere", async () => {
  const nowhere = { program: () => Promise.resolve(undefined) };
  assert.match(await found({ ...nowhere, command: ["/opt/gone"] }), /"code2lora.server.command" is \/opt\/gone.*no such program/);
  assert.match(await found({ ...nowhere, interpreter: "/opt/gone" }), /"code2lora.interpreter" is \/opt\/gone.*no such program/);
});

test("an interpreter that lacks the package is what the private environment is made with, which then serves", async () => {
  const lacking = { interpreter: "/usr/bin/python3", hasPackage: () => Promise.resolve(false) };
  assert.equal(await found(lacking), "private environment: /storage/environment/bin/python -m code2lora_lsp");
  const missing = await findServer({ ...EVERYWHERE, ...lacking, privatePython: () => Promise.resolve(undefined) });
  assert.ok("message" in missing && missing.canCreate);
  assert.match(missing.message, /is \/usr\/bin\/python3, and code2lora-lsp is not installed there/);
});

test("only where all places were empty is an environment offered", async () => {
  const nothing = { ...EVERYWHERE, ...NOT_ON_PATH, hasPackage: () => Promise.resolve(false), privatePython: () => Promise.resolve(undefined) };
  const missing = await findServer(nothing);
  assert.ok("message" in missing && missing.canCreate);
  assert.match(missing.message, /neither on PATH nor installed for \/project\/.venv/);
  const wrong = await findServer({ ...EVERYWHERE, command: "gone", program: () => Promise.resolve(undefined) });
  assert.ok("message" in wrong && !wrong.canCreate);
});
