import assert from "node:assert/strict";
import { test } from "node:test";
import { debugInformation } from "../../src/debugInformation";
import { asOption, changedSettings } from "../../src/settings";
import { status } from "./made";

const EDITOR = {
  extension: "0.1.0",
  vscode: "1.140.0",
  platform: "linux x64",
  remote: undefined,
  isTrusted: true,
  nFolders: 1,
  origin: "PATH",
  settings: {},
};

test("debug information holds neither paths nor details", () => {
  const settings = { "code2lora.server.command": ["/home/me/bin/lsp"], "code2lora.follow.stateDir": "C:\\Users\\me", "code2lora.follow.exclude": ["customers/**"] };
  const text = debugInformation({ ...EDITOR, settings }, status());
  assert.doesNotMatch(text, /home|pottery|Users|secret-model|customers|\.env/);
  assert.equal(text.match(/\(set\)/g)?.length, 4);
});

test("what may be known is in it", () => {
  const report = JSON.parse(debugInformation({ ...EDITOR, settings: { "code2lora.completion.maxLines": 4 } }, status()));
  assert.equal(report.settings["code2lora.completion.maxLines"], 4);
  assert.deepEqual(report.server.lastEmpty, { reason: "SECRET", message: "this file may hold secrets and is never read" });
  assert.equal(report.server.repositories[0].adapter, "a1b2c3");
});

test("a field that a later server adds is not taken over", () => {
  const later = { ...status(), openFiles: ["/home/me/pottery/kiln.py"] };
  assert.doesNotMatch(debugInformation(EDITOR, later), /kiln/);
});

test("without a server the report says so", () => {
  assert.equal(JSON.parse(debugInformation(EDITOR, undefined)).server, "does not run");
});

test("only settings that differ from their defaults are named, and only the server's go to its command line", () => {
  const properties = {
    "code2lora.interpreter": { default: "" },
    "code2lora.server.command": { default: [] },
    "code2lora.follow.exclude": { default: [] },
    "code2lora.model.threads": { default: 0 },
  };
  const values: Record<string, unknown> = { "code2lora.interpreter": "/usr/bin/python3", "code2lora.server.command": [], "code2lora.follow.exclude": ["a b"], "code2lora.model.threads": 0 };
  const changed = changedSettings({ contributes: { configuration: [{ properties }] } }, (name) => values[name]);
  assert.deepEqual(Object.keys(changed), ["code2lora.interpreter", "code2lora.follow.exclude"]);
  assert.deepEqual(Object.entries(changed).flatMap(([name, value]) => asOption(name, value)), ["--set", 'follow.exclude=["a b"]']);
});
