// The adapter panel as one page of HTML: no script, no resource from outside, links that run commands.
import { count, escape, figure, likelier, moment, percent } from "./markup";
import style from "./panel.css";
import { type FollowedCommit, type History, type ShortStatus, shortCommit } from "./protocol";
import { drift, timeline } from "./timeline";

type Button = [command: string, title: string];

const ABOUT_THE_ADAPTER: Button[] = [
  ["code2lora.compare", "Compare at cursor"],
  ["code2lora.refreshAdapter", "Refresh"],
  ["code2lora.rollBackAdapter", "Roll back"],
  ["code2lora.exportAdapter", "Export as PEFT"],
];
const WITHOUT_HISTORY: Button[] = [["code2lora.restartServer", "Restart server"]];
const ALWAYS: Button[] = [
  ["code2lora.healthCheck", "Health check"],
  ["code2lora.showLogs", "Logs"],
];

/** Commands the page may run. */
export const RUNNABLE = [...ABOUT_THE_ADAPTER, ...WITHOUT_HISTORY, ...ALWAYS].map(([command]) => command);

/** What the page shows; in place of a history, a sentence that says why there is none. */
export interface PanelContent {
  status: Pick<ShortStatus, "kind" | "message">;
  history: History | string;
}

export function panelPage({ status, history }: PanelContent, nonce: string): string {
  const root = typeof history === "string" ? null : history.root;
  const name = root?.split(/[\\/]/).at(-1) ?? (typeof history === "string" ? "code2lora" : "No repository");
  const buttons = [...(typeof history === "string" ? WITHOUT_HISTORY : ABOUT_THE_ADAPTER), ...ALWAYS];
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'nonce-${nonce}'">
<style nonce="${nonce}">${style}</style><title>Adapter</title></head>
<body>
<header><div><h1>${escape(name)}</h1><p class="status ${status.kind}">${escape(status.message)}</p></div>
<nav>${buttons.map(([command, title]) => `<a class="button" href="command:${command}">${title}</a>`).join("")}</nav></header>
${typeof history === "string" ? `<p class="hint">${escape(history)}</p>` : body(history)}
</body></html>`;
}

function body(history: History): string {
  return `<section class="cards">${cards(history).join("")}</section>${commitsOf(history)}`;
}

function card(title: string, value: string, note: string): string {
  return `<div class="card"><h2>${title}</h2><p class="value">${value}</p><p>${note}</p></div>`;
}

function cards({ commits, latency, cache, acceptance }: History): string[] {
  return [helpCard(commits), answerCard(latency), cacheCard(cache), acceptedCard(acceptance)];
}

function answerCard({ n, p50Ms, p95Ms, coldP50Ms }: History["latency"]): string {
  if (!n) {
    return card("Answer", "–", "no suggestion in this session yet");
  }
  const cold = coldP50Ms === null ? "" : `; ${figure(coldP50Ms, 0)} ms from a cold cache`;
  return card("Answer", `${figure(p50Ms, 0)} ms`, `95 % within ${figure(p95Ms, 0)} ms${cold}`);
}

function cacheCard({ asked, reusedShare, withoutModel }: History["cache"]): string {
  const note = `of prompts reused; ${count(withoutModel)} of ${count(asked)} answers without the model`;
  return card("Cache", percent(reusedShare), asked ? note : "no suggestion in this session yet");
}

function acceptedCard(acceptance: History["acceptance"]): string {
  if (!acceptance.enabled) {
    return card("Accepted", "off", "<code>code2lora.metrics.enabled</code> is off");
  }
  const { shown, accepted, acceptedWords, acceptedLines, judged, keptAfter30s } = acceptance;
  const parts = `${count(acceptedWords)} by word, ${count(acceptedLines)} by line`;
  const kept = judged ? `; ${count(keptAfter30s)} of ${count(judged)} kept after 30 s` : "";
  return card("Accepted", percent(shown ? accepted / shown : null), `${count(accepted)} of ${count(shown)} shown, ${parts}${kept}`);
}

/** The mean over all scored tokens, so that a commit of two lines does not count as one of a thousand. */
function helpCard(commits: FollowedCommit[]): string {
  const total = { tokens: 0, without: 0, with: 0, commits: 0 };
  for (const { withoutNats, withNats, nScored } of commits) {
    if (withoutNats !== null && withNats !== null) {
      total.tokens += nScored;
      total.without += nScored * withoutNats;
      total.with += nScored * withNats;
      total.commits += 1;
    }
  }
  if (!total.tokens) {
    return card("Does it help here?", "–", "measured in idle time, on lines that commits add");
  }
  const [without, own] = [total.without / total.tokens, total.with / total.tokens];
  const sample = `${count(total.tokens)} tokens of ${total.commits} commit${total.commits > 1 ? "s" : ""}`;
  const note = `as likely, each token you then committed: ${figure(without, 2)} → ${figure(own, 2)} nats on ${sample}`;
  return card("Does it help here?", likelier(without, own), note);
}

function commitsOf({ root, commits, referenceCommit }: History): string {
  if (root === null) {
    return `<p class="hint">The file in use is in no git repository. Suggestions come from the plain backbone;
inside a repository an adapter would follow its commits.</p>`;
  }
  if (!commits.length) {
    return '<p class="hint">No commit has been followed yet. The first adapter appears once the tree is read.</p>';
  }
  const first = referenceCommit ? ` (${shortCommit(referenceCommit)})` : "";
  const legend = [
    ["without", "plain backbone"],
    ["with better", "with what was known before the commit"],
    ["with worse", "where that is worse"],
    ["distance", "moved from the commit before"],
    ["drift", `turned away from the first adapter${first}`],
    ["anchor", "tree read anew"],
  ].map(([kind, words]) => `<span><i class="${kind}"></i>${escape(words ?? "")}</span>`);
  return `<section><div class="scroll">${timeline([...commits].reverse())}</div><p class="legend">${legend.join("")}</p></section>
<section class="scroll">${table(commits)}</section>`;
}

function table(commits: FollowedCommit[]): string {
  const heads = ["Commit", "Subject", "When", "Likelier", "Without", "With", "Moved", "Turned", "Tokens", "Step"];
  return `<table><thead><tr>${heads.map((head) => `<th>${head}</th>`).join("")}</tr></thead>
<tbody>${commits.map(row).join("\n")}</tbody></table>`;
}

function row(commit: FollowedCommit): string {
  const { withoutNats, withNats } = commit;
  const isScored = withoutNats !== null && withNats !== null;
  const kind = isScored && withNats <= withoutNats ? "better" : "worse";
  const cells = [
    isScored ? `<span class="${kind}">${likelier(withoutNats, withNats)}</span>` : "–",
    figure(withoutNats, 2),
    figure(withNats, 2),
    figure(commit.distance, 3),
    figure(drift(commit), 3),
    count(commit.nTokens) + (commit.reanchored ? " ⟲" : ""),
    `${figure(commit.stepS, 1)} s`,
  ];
  const id = shortCommit(commit.commit);
  return `<tr id="${id}"><td><code>${id}</code></td><td class="subject">${escape(commit.subject)}</td>
<td class="when">${moment(commit.time)}</td>${cells.map((cell) => `<td class="number">${cell}</td>`).join("")}</tr>`;
}
