import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Redraw } from "../../src/redraw";

/** A drawing that takes until it is let go, and a clock that only moves when told. */
function drawn(context: TestContext, isSeen: () => boolean = () => true) {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const open: (() => void)[] = [];
  let count = 0;
  const redraw = new Redraw(() => new Promise((done) => (count++, open.push(done))), isSeen);
  const finish = async () => {
    open.shift()?.();
    await new Promise(setImmediate);
  };
  return { redraw, finish, pass: (ms: number) => context.mock.timers.tick(ms), count: () => count };
}

test("what changes within a moment is drawn once", async (context) => {
  const { redraw, finish, pass, count } = drawn(context);
  redraw.soon();
  pass(399);
  redraw.soon();
  pass(399);
  assert.equal(count(), 0);
  pass(1);
  assert.equal(count(), 1);
  await finish();
});

test("nothing is drawn every few seconds, and after a minute the figures are", async (context) => {
  const { redraw, finish, pass, count } = drawn(context);
  void redraw.now();
  await finish();
  pass(59_999);
  assert.equal(count(), 1);
  pass(1);
  assert.equal(count(), 2);
  await finish();
  pass(60_000);
  assert.equal(count(), 3, "and after another one again");
});

test("a change that comes while the page is drawn is drawn right after", async (context) => {
  const { redraw, finish, pass, count } = drawn(context);
  void redraw.now();
  redraw.soon();
  await finish();
  pass(400);
  assert.equal(count(), 2);
});

test("what is not seen is not drawn", async (context) => {
  let isSeen = false;
  const { redraw, finish, pass, count } = drawn(context, () => isSeen);
  redraw.soon();
  pass(120_000);
  assert.equal(count(), 0);
  isSeen = true;
  redraw.soon();
  pass(400);
  isSeen = false;
  await finish();
  pass(120_000);
  assert.equal(count(), 1);
});

test("once stopped, nothing is drawn any more", async (context) => {
  const { redraw, pass, count } = drawn(context);
  redraw.soon();
  redraw.stop();
  pass(120_000);
  assert.equal(count(), 0);
});
