// The words of a comparison.
import { type Comparison, type Offer, shortCommit } from "./protocol";

/** What the document would be, were the offer accepted. */
export function inserted(document: string, offset: number, text: string): string {
  return document.slice(0, offset) + text + document.slice(offset);
}

/** `line 12: adapter off (0.88 nats) ↔ adapter @ a1b2c3 (0.21 nats)` */
export function titleOf({ without, withAdapter, adapterCommit }: Comparison, line: number): string {
  const own = adapterCommit ? `adapter @ ${shortCommit(adapterCommit)}` : "no adapter yet";
  const same = without.text === withAdapter.text ? ", the same text" : "";
  return `line ${line}: adapter off (${nats(without)}) ↔ ${own} (${nats(withAdapter)}${same})`;
}

function nats({ nats: value, reason }: Offer): string {
  return value === null ? (reason?.message ?? "nothing") : `${value.toFixed(2)} nats per token`;
}
