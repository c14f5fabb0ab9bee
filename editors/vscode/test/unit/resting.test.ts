import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Resting } from "../../src/resting";

function watched(context: TestContext) {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let told = 0;
  const resting = new Resting(() => told++);
  return { resting, pass: (ms: number) => context.mock.timers.tick(ms), told: () => told };
}

test("a cursor that moves on rests once, where it stops", (context) => {
  const { resting, pass, told } = watched(context);
  for (let moves = 0; moves < 3; moves++) {
    resting.moved();
    pass(99);
  }
  assert.equal(told(), 0);
  pass(1);
  assert.equal(told(), 1);
});

test("typing moves the cursor too, and is no rest", (context) => {
  const { resting, pass, told } = watched(context);
  resting.moved();
  pass(50);
  resting.typed();
  pass(5);
  resting.moved();
  pass(1000);
  assert.equal(told(), 0, "the key takes back the rest before it");
});

test("a move after typing, or after the text changed by itself, is one again", (context) => {
  const { resting, pass, told } = watched(context);
  resting.typed();
  pass(50);
  resting.moved();
  pass(100);
  assert.equal(told(), 1);
});

test("what is over tells of nothing", (context) => {
  const { resting, pass, told } = watched(context);
  resting.moved();
  resting.stop();
  pass(1000);
  assert.equal(told(), 0);
});
