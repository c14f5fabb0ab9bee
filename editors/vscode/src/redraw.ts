// When something on screen is drawn: soon after a change, and now and then for what no change is told of.

const SETTLE_MS = 400;
/** Latency and acceptance change with every completion and nothing tells of them, nor of what another
 * editor's server writes down; a minute is soon enough for both. */
const NOW_AND_THEN_MS = 60_000;

export class Redraw {
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly draw: () => Promise<void>,
    private readonly isSeen: () => boolean,
  ) {}

  /** Something changed; what changes within a moment is drawn once. */
  soon(): void {
    this.#after(SETTLE_MS);
  }

  async now(): Promise<void> {
    this.stop();
    await this.draw();
    // a change that came meanwhile may not be in it, and stays due
    if (this.#timer === undefined) {
      this.#after(NOW_AND_THEN_MS);
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #after(delayMs: number): void {
    this.stop();
    if (this.isSeen()) {
      this.#timer = setTimeout(() => void this.now(), delayMs);
    }
  }
}
