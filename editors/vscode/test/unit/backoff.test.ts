import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../../src/backoff";

test("each stop within three minutes doubles the wait, and the sixth is the end", () => {
  const backoff = new Backoff();
  assert.deepEqual([0, 3, 6, 12, 24, 48].map((now) => backoff.next(now)), [1, 2, 4, 8, 16, undefined]);
});

test("stops longer ago than three minutes are forgotten", () => {
  const backoff = new Backoff();
  backoff.next(0);
  backoff.next(10);
  assert.equal(backoff.next(181), 2, "the first is forgotten, the second is not");
  assert.equal(backoff.next(1000), 1);
});

test("asking for the server by hand starts from the shortest wait", () => {
  const backoff = new Backoff();
  [0, 1, 2, 3, 4, 5].forEach((now) => backoff.next(now));
  backoff.reset();
  assert.equal(backoff.next(6), 1);
});
