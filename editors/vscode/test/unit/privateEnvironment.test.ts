import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { createEnvironment, packedWheel, privatePython, type Recipe } from "../../src/privateEnvironment";
import { hasPackage, program, pythonVersion } from "../../src/programs";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "code2lora-environment-"));
after(() => fs.rmSync(root, { recursive: true, force: true }));
process.env.PIP_NO_INDEX = "1"; // a wheel without requirements needs no index

/** A wheel named like ours whose module prints a version, or ends with `code`. */
function wheel(name: string, code = 0): string {
  const file = path.join(fs.mkdtempSync(path.join(root, `${name}-`)), "code2lora_lsp-0.1.0-py3-none-any.whl");
  const make = `
import sys, zipfile
info = "code2lora_lsp-0.1.0.dist-info/"
files = {
    "code2lora_lsp/__init__.py": "",
    "code2lora_lsp/__main__.py": "print('code2lora-lsp 0.1.0'); raise SystemExit(${code})",
    info + "METADATA": "Metadata-Version: 2.1\\nName: code2lora-lsp\\nVersion: 0.1.0\\n",
    info + "WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
}
with zipfile.ZipFile(sys.argv[1], "w") as packed:
    for name, text in files.items():
        packed.writestr(name, text)
    packed.writestr(info + "RECORD", "".join(f"{name},,\\n" for name in [*files, info + "RECORD"]))
`;
  execFileSync("python3", ["-c", make, file]);
  return file;
}

function recipe(name: string, file: string): Recipe {
  const constraints = path.join(root, "constraints.txt");
  fs.writeFileSync(constraints, "torch==2.13.0\n");
  return { storage: path.join(root, name), version: "0.1.0", wheel: file, constraints };
}

const python = (await program("python3"))!;

test("an environment is made from the packed wheel, and found again by its version alone", async () => {
  const given = recipe("good", wheel("good"));
  const lines: string[] = [];
  const own = await createEnvironment(python, given, (line) => lines.push(line), new AbortController().signal);
  assert.equal(await privatePython(given), own);
  assert.ok(await hasPackage(own, given.storage));
  assert.ok(lines.some((line) => line.includes("Successfully installed code2lora-lsp-0.1.0")), lines.join("\n"));
  assert.equal(await privatePython({ ...given, version: "0.2.0" }), undefined);
});

test("an environment whose server does not run is taken away again, and the message says why", async () => {
  const given = recipe("broken", wheel("broken", 3));
  const made = createEnvironment(python, given, () => undefined, new AbortController().signal);
  await assert.rejects(made, /-m code2lora_lsp --version ended with code 3:\ncode2lora-lsp 0\.1\.0/);
  assert.equal(await privatePython(given), undefined);
  assert.deepEqual(fs.readdirSync(given.storage), []);
});

test("a cancelled environment leaves nothing behind", async () => {
  const given = recipe("cancelled", wheel("cancelled"));
  const abort = new AbortController();
  const made = createEnvironment(python, given, () => undefined, abort.signal);
  setTimeout(() => abort.abort(), 200);
  await assert.rejects(made, /-m venv .* ended with code null/);
  assert.deepEqual(fs.readdirSync(given.storage), []);
});

test("an environment that cannot be made anew leaves the one that was there", async () => {
  const given = recipe("again", wheel("again"));
  const never = new AbortController().signal;
  const own = await createEnvironment(python, given, () => undefined, never);
  await assert.rejects(createEnvironment(python, { ...given, wheel: wheel("worse", 3) }, () => undefined, never), /ended with code 3/);
  assert.equal(await privatePython(given), own);
  assert.ok(await hasPackage(own, given.storage));
  await createEnvironment(python, given, () => undefined, never);
  assert.deepEqual(fs.readdirSync(given.storage), ["environment-0.1.0"]);
});

test("the packed wheel is the one in its folder, and a folder may hold none", async () => {
  const file = wheel("packed");
  assert.equal(await packedWheel(path.dirname(file)), file);
  assert.equal(await packedWheel(path.join(root, "nowhere")), undefined);
});

test("a program is never looked for relative to a folder", async () => {
  fs.writeFileSync(path.join(root, "tool"), "#!/bin/sh\n", { mode: 0o755 });
  process.chdir(root);
  process.env.PATH = `.${path.delimiter}relative${path.delimiter}${process.env.PATH}`;
  assert.equal(await program("tool"), undefined);
  assert.equal(await program("./tool"), undefined);
  assert.equal(await program(path.join(root, "tool")), path.join(root, "tool"));
  assert.equal(await program(root), undefined, "a folder is no program");
});

test("a Python is asked for its version, and what is none has none", async () => {
  assert.equal((await pythonVersion(python))?.[0], 3);
  assert.equal(await pythonVersion("/bin/false"), undefined);
  assert.equal(await hasPackage("/bin/false", root), false);
});
