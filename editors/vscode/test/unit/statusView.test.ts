import assert from "node:assert/strict";
import { test } from "node:test";
import type { ShortStatus } from "../../src/protocol";
import { barText, viewOf } from "../../src/statusView";

const FOLLOWED: ShortStatus = { busy: false, kind: "Normal", message: "adapter @ a1b2c3", root: "/r", reason: null };

function empty(reason: string, message: string): ShortStatus {
  return { ...FOLLOWED, reason: { reason, message, detail: "" } };
}

test("the status bar says in the server's words which commit the adapter is of", () => {
  assert.equal(barText(viewOf(FOLLOWED)), "$(git-commit) adapter @ a1b2c3");
  assert.equal(barText(viewOf({ ...FOLLOWED, busy: true })), "$(sync~spin) adapter @ a1b2c3");
  assert.equal(barText(viewOf({ ...FOLLOWED, kind: "Inactive", message: "completions are switched off" })), "$(circle-slash) completions are switched off");
});

test("what is wrong with the file in use takes the place of the adapter", () => {
  const view = viewOf(empty("TOO_LARGE", "the document is too large"));
  assert.equal(barText(view), "$(circle-slash) the document is too large");
  assert.equal(view.detail, "adapter @ a1b2c3");
});

test("a reason that is about one pause only is told on hovering", () => {
  const view = viewOf(empty("LOW_CONFIDENCE", "the model was not sure enough"));
  assert.equal(view.text, "adapter @ a1b2c3");
  assert.equal(view.detail, "Nothing offered at the last pause: the model was not sure enough.");
});

test("a reason that the message says already is not told twice", () => {
  assert.equal(viewOf({ ...empty("NOT_READY", "the model is still loading"), message: "loading the model" }).detail, "");
});

test("an error is not hidden behind the reason it causes", () => {
  const view = viewOf({ ...empty("OFF", "completions are switched off"), kind: "Error", message: "out of memory" });
  assert.equal(barText(view), "$(error) out of memory");
});

test("a long message is cut in the bar only", () => {
  const view = viewOf({ ...FOLLOWED, kind: "Warning", message: "x".repeat(80) });
  assert.equal(barText(view), `$(warning) ${"x".repeat(40)}…`);
  assert.equal(view.text.length, 80);
});
