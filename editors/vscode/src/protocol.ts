// What the server says beyond the Language Server Protocol; docs/protocol.md is the description.

export const STATUS = "code2lora/status";
export const STATUS_CHANGED = "code2lora/statusChanged";
export const HISTORY = "code2lora/history";
export const HISTORY_CHANGED = "code2lora/historyChanged";
export const COMPARE = "code2lora/compare";
export const DID_FOCUS = "textDocument/didFocus";

export type Kind = "Normal" | "Warning" | "Error" | "Inactive";

/** Why nothing was offered; `reason` is a word in capitals, `detail` may name a file. */
export interface Empty {
  reason: string;
  message: string;
  detail: string;
}

/** The content of `code2lora/statusChanged`. */
export interface ShortStatus {
  busy: boolean;
  kind: Kind;
  message: string;
  root: string | null;
  reason: Empty | null;
}

/** The answer to `code2lora/status`, as far as it is read here. */
export interface Status extends Omit<ShortStatus, "reason"> {
  schemaVersion: number;
  server: { name: string; version: string; pid: number };
  engine: {
    state: string;
    backbone: string | null;
    device: string | null;
    dtype: string | null;
    memoryBytes: number | null;
    lastTimings: Record<string, number> | null;
  };
  repositories: {
    root: string;
    state: string;
    adapterCommit: string | null;
    commitsBehind: number | null;
    drift: number | null;
    lastStepS: number | null;
    editedFiles: number;
  }[];
  completions: { enabled: boolean; languages: string[] };
  lastEmpty: Empty | null;
  counts: Record<string, number>;
}

/** One followed commit. Distances are relative (no unit), `…Nats` are mean −log p per token. */
export interface FollowedCommit {
  commit: string;
  time: string;
  subject: string;
  nTokens: number | null;
  distance: number | null;
  referenceCosine: number | null;
  reanchored: boolean;
  stepS: number;
  withoutNats: number | null;
  withNats: number | null;
  nScored: number;
}

/** The answer to `code2lora/history`; commits are newest first. */
export interface History {
  schemaVersion: number;
  root: string | null;
  referenceCommit: string | null;
  commits: FollowedCommit[];
  latency: { n: number; p50Ms: number | null; p95Ms: number | null; coldP50Ms: number | null };
  cache: { asked: number; reusedShare: number | null; withoutModel: number };
  acceptance: {
    enabled: boolean;
    since: string | null;
    shown: number;
    accepted: number;
    acceptedWords: number;
    acceptedLines: number;
    judged: number;
    keptAfter30s: number;
  };
}

/** What would be offered; with an empty `text`, `reason` says why. `nats` is mean −log p per token. */
export interface Offer {
  text: string;
  nats: number | null;
  reason: Empty | null;
}

/** The answer to `code2lora/compare`: one cursor, completed twice. */
export interface Comparison {
  withAdapter: Offer;
  without: Offer;
  adapterCommit: string | null;
}

export function shortCommit(commit: string): string {
  return commit.slice(0, 6);
}
