import assert from "node:assert/strict";
import { test } from "node:test";
import { inserted, titleOf } from "../../src/comparisonText";
import { count, figure, likelier, moment, percent } from "../../src/markup";
import { isServed, Toggles } from "../../src/toggles";

test("a switch is remembered per language, per folder and for everywhere, with its last value", () => {
  const toggles = new Toggles();
  toggles.remember({}, false);
  toggles.remember({ language: "python" }, false);
  toggles.remember({ folder: "/a" }, false);
  toggles.remember({}, true);
  assert.deepEqual(toggles.all(), [{ enabled: true }, { language: "python", enabled: false }, { folder: "/a", enabled: false }]);
});

test("a language is served where it is listed, or none is", () => {
  assert.deepEqual([isServed(["python"], "python"), isServed(["python"], "rust"), isServed([], "rust")], [true, false, true]);
});

test("a comparison shows the document as it would be, and both figures in its title", () => {
  assert.equal(inserted("ab", 1, "🦊\n"), "a🦊\nb");
  const offer = { text: "x", nats: 0.876, reason: null };
  const none = { text: "", nats: null, reason: { reason: "EMPTY", message: "the model proposed nothing", detail: "" } };
  assert.equal(
    titleOf({ without: none, withAdapter: offer, adapterCommit: "a1b2c3d4" }, 12),
    "line 12: adapter off (the model proposed nothing) ↔ adapter @ a1b2c3 (0.88 nats per token)",
  );
  assert.match(titleOf({ without: offer, withAdapter: offer, adapterCommit: null }, 1), /no adapter yet \(0\.88 nats per token, the same text\)/);
});

test("figures that are not there are dashes", () => {
  assert.deepEqual([figure(null, 2), figure(undefined, 2), percent(null), count(null), moment("no time")], ["–", "–", "–", "–", "–"]);
  assert.deepEqual([figure(1.005, 1), percent(0.943), count(12345), likelier(2, 1)], ["1.0", "94 %", "12,345", "2.72×"]);
});
