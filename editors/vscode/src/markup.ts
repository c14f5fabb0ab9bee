// Values as text for the panel.

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const NOTHING = "–";

/** Text that may stand in HTML and SVG, in elements and in quoted attributes. */
export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (mark) => ENTITIES[mark] ?? mark);
}

/** A number with so many decimals, or a dash where there is none. */
export function figure(value: number | null | undefined, digits: number): string {
  return value === null || value === undefined ? NOTHING : value.toFixed(digits);
}

export function percent(share: number | null | undefined): string {
  return share === null || share === undefined ? NOTHING : `${Math.round(100 * share)} %`;
}

export function count(value: number | null): string {
  return value === null ? NOTHING : value.toLocaleString("en");
}

/** How many times likelier each token became: e to the nats gained per token. */
export function likelier(withoutNats: number, withNats: number): string {
  return `${Math.exp(withoutNats - withNats).toFixed(2)}×`;
}

/** `23 Nov 05:12`, in the time of this machine. */
export function moment(iso: string): string {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) {
    return NOTHING;
  }
  const day = time.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return `${day} ${time.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}`;
}
