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
  const document = { version: 1 };
  for (let moves = 0; moves < 3; moves++) {
    resting.moved(document);
    pass(99);
  }
  assert.equal(told(), 0);
  pass(1);
  assert.equal(told(), 1);
});

test("typing moves the cursor too, and is no rest", (context) => {
  const { resting, pass, told } = watched(context);
  const document = { version: 1 };
  resting.moved(document);
  pass(50);
  document.version++;
  resting.moved(document);
  pass(1000);
  assert.equal(told(), 0, "the key before the rest took it back");
  resting.moved(document);
  pass(100);
  assert.equal(told(), 1);
});

test("documents are told apart, and what is over tells of nothing", (context) => {
  const { resting, pass, told } = watched(context);
  resting.moved({ version: 7 });
  pass(100);
  resting.moved({ version: 3 });
  pass(100);
  assert.equal(told(), 2, "another version of another document is no typing");
  resting.moved({ version: 1 });
  resting.stop();
  pass(1000);
  assert.equal(told(), 2);
});
