// How long to wait before a server that stopped by itself is started again.

const DELAYS_S = [1, 2, 4, 8, 16];
const FORGET_AFTER_S = 180;

/** Doubles the wait at each stop within three minutes, and gives up after five. */
export class Backoff {
  #stops: number[] = [];

  /** Seconds to wait for a stop at `now` (seconds of any clock); undefined: give up. */
  next(now: number): number | undefined {
    this.#stops = this.#stops.filter((stop) => now - stop < FORGET_AFTER_S);
    const delay = DELAYS_S[this.#stops.length];
    this.#stops.push(now);
    return delay;
  }

  reset(): void {
    this.#stops = [];
  }
}
