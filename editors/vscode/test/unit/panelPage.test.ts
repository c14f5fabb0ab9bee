import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { panelPage, RUNNABLE } from "../../src/panelPage";
import type { History } from "../../src/protocol";
import { timeline } from "../../src/timeline";
import { followed, history } from "./made";

function page(given: History | string): string {
  return panelPage({ status: { kind: "Normal", message: "adapter @ a1b2c3" }, history: given }, "n0nce");
}

test("the page runs nothing, loads nothing and styles itself by one nonce", () => {
  const html = page(history());
  assert.match(html, /Content-Security-Policy" content="default-src 'none'; style-src 'nonce-n0nce'"/);
  assert.doesNotMatch(html, /<script|\son\w+=|https?:|\sstyle=|<img|url\(/);
});

test("what a commit's subject holds is text, wherever it stands", () => {
  const html = page(history({ commits: [followed({ subject: `<img src=x onerror="1"> & 'more'` })] }));
  assert.doesNotMatch(html, /<img/);
  assert.equal(html.split("&lt;img src=x onerror=&quot;1&quot;&gt; &amp; &#39;more&#39;").length - 1, 2, "chart and table");
});

test("whether the adapter helps is the mean over tokens, not over commits", () => {
  const small = followed({ commit: "b".repeat(12), withoutNats: 1, withNats: 5, nScored: 10 });
  const large = followed({ withoutNats: 3, withNats: 2, nScored: 390 });
  const html = page(history({ commits: [small, large] }));
  // (3·390 + 1·10) / 400 = 2.95 and (2·390 + 5·10) / 400 = 2.075, e^0.875 = 2.40
  assert.match(html, /2\.40×/);
  assert.match(html, /2\.95 → 2\.08 nats on 400 tokens of 2 commits/);
});

test("a commit that was not scored has dashes, and no dumbbell", () => {
  const commit = followed({ withoutNats: null, withNats: null, nScored: 0, distance: null, referenceCosine: null });
  const html = page(history({ commits: [commit] }));
  assert.match(html, /measured in idle time/);
  assert.doesNotMatch(html, /class="gain|<rect class="distance|<circle/);
  assert.doesNotMatch(html, /NaN|null|undefined/);
});

test("without a repository, without commits and without a server the page says what to expect", () => {
  assert.match(page(history({ root: null, commits: [] })), /No repository[\s\S]*in no git repository/);
  assert.match(page(history({ commits: [] })), /pottery[\s\S]*No commit has been followed yet/);
  assert.match(page("There is nothing to show: <why>."), /nothing to show: &lt;why&gt;\./);
});

test("counts that are switched off are not shown as zeros", () => {
  const { acceptance } = history();
  assert.match(page(history({ acceptance: { ...acceptance, enabled: false } })), /code2lora\.metrics\.enabled<\/code> is off/);
  assert.match(page(history()), /34 %/);
});

test("without a server there is a button that starts it, and none for commands that only it has", () => {
  const html = page("There is nothing to show: the server does not run; restart it, or look at its log.");
  const commands = [...html.matchAll(/href="command:code2lora\.(\w+)"/g)].map(([, command]) => command);
  assert.deepEqual(commands, ["restartServer", "healthCheck", "showLogs"]);
  assert.doesNotMatch(html, /No repository/);
});

test("every button runs a command of the manifest", () => {
  const manifest = JSON.parse(fs.readFileSync("package.json", "utf8"));
  const known = new Set(manifest.contributes.commands.map((each: { command: string }) => each.command));
  assert.deepEqual(RUNNABLE.filter((command) => !known.has(command)), []);
});

test("the chart stays inside its frame for one commit, for sixty and for figures of zero", () => {
  const zero = { withoutNats: 0, withNats: 0, distance: 0, referenceCosine: 1 };
  for (const commits of [[followed()], Array(60).fill(followed()), [followed(zero)], [followed({ referenceCosine: -1, withNats: 9 })]]) {
    const svg = timeline(commits);
    const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg)!.map(Number);
    for (const [, name, value] of svg.matchAll(/\b(x|cx|x1|x2|y|cy|y1|y2)="([^"]+)"/g)) {
      const most = name!.includes("x") ? width! : height!;
      assert.ok(Number(value) >= 0 && Number(value) <= most, `${name}=${value}`);
    }
  }
});

test("a commit where the adapter does harm is marked as such", () => {
  assert.match(timeline([followed({ withNats: 3 })]), /class="with worse"/);
  assert.match(timeline([followed({ withNats: 1 })]), /class="with better"/);
});
