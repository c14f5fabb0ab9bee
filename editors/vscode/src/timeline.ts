// The panel's chart: one column per commit, oldest on the left. Plain SVG; colours are the theme's (panel.css).
import { count, escape, figure, likelier, moment } from "./markup";
import { type FollowedCommit, shortCommit } from "./protocol";

const WIDTH = 760;
const LEFT = 44;
const RIGHT = 8;
const HELP = { top: 22, height: 130 };
const MOVED = { top: 192, height: 70 };
const BOTTOM = MOVED.top + MOVED.height;
const HEIGHT = BOTTOM + 24;
const MOST_LABELS = 10;
const WIDEST_COLUMN = 72;
/** Nats that the upper band spans at least, so that noise does not look like an effect. */
const LEAST_SPAN = 0.5;

interface Band {
  top: number;
  height: number;
}

/** The chart as an SVG element; commits are oldest first. */
export function timeline(commits: FollowedCommit[]): string {
  const column = Math.min(WIDEST_COLUMN, (WIDTH - LEFT - RIGHT) / Math.max(1, commits.length));
  const nats = commits.flatMap((each) => [each.withoutNats, each.withNats]).filter(isNumber);
  const moves = commits.flatMap((each) => [each.distance, drift(each)]).filter(isNumber);
  const [helpRange, movedRange] = [rangeAround(nats), rangeFromZero(moves)];
  const help = scale(HELP, helpRange);
  const moved = scale(MOVED, movedRange);
  const columns = commits.map((commit, index) => {
    const x = LEFT + (index + 0.5) * column;
    return `<a href="#${shortCommit(commit.commit)}" class="column"><title>${escape(told(commit))}</title>
<rect class="hit" x="${at(x - column / 2)}" y="0" width="${at(column)}" height="${HEIGHT}"/>
${rebuilt(commit, x)}${dumbbell(commit, x, help)}${bar(commit, x, column, moved)}${driftDot(commit, x, moved)}</a>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Timeline of ${commits.length} commits; the table below has its figures">
${axis(HELP, nats.length ? helpRange : undefined, 1)}${axis(MOVED, moves.length ? movedRange : undefined, 2)}
${columns.join("\n")}
<text class="caption" x="${LEFT}" y="12">nats per token of the lines each commit added</text>
<text class="caption" x="${LEFT}" y="${MOVED.top - 10}">movement of the adapter</text>
${labels(commits, column)}
</svg>`;
}

/** How far the adapter turned away from the first one: 1 − cosine. */
export function drift(commit: FollowedCommit): number | null {
  return commit.referenceCosine === null ? null : 1 - commit.referenceCosine;
}

function told(commit: FollowedCommit): string {
  const { withoutNats, withNats, nScored, distance } = commit;
  const lines = [`${shortCommit(commit.commit)}  ${commit.subject}`, moment(commit.time)];
  if (withoutNats !== null && withNats !== null) {
    const gain = `${likelier(withoutNats, withNats)} as likely per token`;
    lines.push(`${figure(withoutNats, 2)} → ${figure(withNats, 2)} nats on ${count(nScored)} tokens: ${gain}`);
  }
  lines.push(`moved ${figure(distance, 3)} from the commit before, ${figure(drift(commit), 3)} from the first`);
  return (commit.reanchored ? [...lines, "the whole tree was read anew"] : lines).join("\n");
}

function rebuilt(commit: FollowedCommit, x: number): string {
  return commit.reanchored ? `<line class="anchor" x1="${at(x)}" x2="${at(x)}" y1="${HELP.top}" y2="${BOTTOM}"/>` : "";
}

function dumbbell({ withoutNats, withNats }: FollowedCommit, x: number, y: (nats: number) => number): string {
  if (withoutNats === null || withNats === null) {
    return "";
  }
  const kind = withNats <= withoutNats ? "better" : "worse";
  return `<line class="gain ${kind}" x1="${at(x)}" x2="${at(x)}" y1="${at(y(withoutNats))}" y2="${at(y(withNats))}"/>
<circle class="without" cx="${at(x)}" cy="${at(y(withoutNats))}" r="3.5"/>
<circle class="with ${kind}" cx="${at(x)}" cy="${at(y(withNats))}" r="4"/>`;
}

function bar({ distance }: FollowedCommit, x: number, column: number, y: (value: number) => number): string {
  if (distance === null) {
    return "";
  }
  const width = Math.max(2, column * 0.5);
  const top = y(distance);
  return `<rect class="distance" x="${at(x - width / 2)}" y="${at(top)}" width="${at(width)}" height="${at(BOTTOM - top)}"/>`;
}

function driftDot(commit: FollowedCommit, x: number, y: (value: number) => number): string {
  const value = drift(commit);
  return value === null ? "" : `<circle class="drift" cx="${at(x)}" cy="${at(y(value))}" r="3"/>`;
}

/** What a band shows from its bottom to its top. */
type Range = [least: number, most: number];

function scale({ top, height }: Band, [least, most]: Range): (value: number) => number {
  return (value) => top + height * (1 - (value - least) / (most - least));
}

/** Lines at the bottom, in the middle and at the top of a band, with their values. */
function axis({ top, height }: Band, range: Range | undefined, digits: number): string {
  return [0, 0.5, 1]
    .map((part) => {
      const y = at(top + height * (1 - part));
      const text = range ? (range[0] + part * (range[1] - range[0])).toFixed(digits) : "";
      return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}"/>
<text class="tick" x="${LEFT - 6}" y="${y}" dy="0.32em" text-anchor="end">${text}</text>`;
    })
    .join("");
}

function labels(commits: FollowedCommit[], column: number): string {
  const every = Math.ceil(commits.length / MOST_LABELS);
  return commits
    .map((commit, index) => {
      const isShown = (commits.length - 1 - index) % every === 0;
      const x = at(LEFT + (index + 0.5) * column);
      return isShown ? `<text class="tick commit" x="${x}" y="${BOTTOM + 16}" text-anchor="middle">${shortCommit(commit.commit)}</text>` : "";
    })
    .join("");
}

/** For bars: zero to a little above the largest value. */
function rangeFromZero(values: number[]): Range {
  return [0, Math.max(0, ...values) * 1.05 || 1];
}

/** For dots, which are compared with one another: a little more than the values take. */
function rangeAround(values: number[]): Range {
  const [least, most] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 0];
  const middle = (least + most) / 2;
  const half = Math.max(most - least, LEAST_SPAN) * 0.55;
  return [Math.max(0, middle - half), Math.max(0, middle - half) + 2 * half];
}

function isNumber(value: number | null): value is number {
  return value !== null;
}

function at(value: number): string {
  return value.toFixed(1);
}
