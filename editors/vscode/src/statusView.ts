// A status in the few words a status bar has room for.
import type { Empty, Kind, ShortStatus } from "./protocol";

/** What both status items show. `detail` is a sentence or nothing. */
export interface View {
  busy: boolean;
  kind: Kind;
  text: string;
  detail: string;
}

const ICONS: Record<Kind, string> = { Normal: "git-commit", Warning: "warning", Error: "error", Inactive: "circle-slash" };
const LONGEST_TEXT = 40;

/** Reasons about the file in front of the user, which stand until something is done about them. */
const ABOUT_THIS_FILE = new Set(["TOO_LARGE", "SECRET", "EXCLUDED", "OFF"]);

/** Reasons that `message` says too. */
const SAID_ALREADY = new Set(["NOT_READY", "UNLOADED", "FAILED"]);

export function viewOf(status: ShortStatus): View {
  const { busy, kind, message, reason } = status;
  if (kind === "Normal" && reason && ABOUT_THIS_FILE.has(reason.reason)) {
    return { busy, kind: "Inactive", text: reason.message, detail: message };
  }
  return { busy, kind, text: message, detail: whyNothing(reason) };
}

/** The last reason worth telling, as a sentence. */
export function whyNothing(reason: Empty | null): string {
  return reason && !SAID_ALREADY.has(reason.reason) ? `Nothing offered at the last pause: ${reason.message}.` : "";
}

/** Text of the status bar item, with its icon. */
export function barText({ busy, kind, text }: View): string {
  const shown = text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text;
  return `$(${busy ? "sync~spin" : ICONS[kind]}) ${shown}`;
}
