// When a cursor that was moved, not typed with, has come to rest: its place can be read before a key is pressed.

const SETTLE_MS = 100;
/** Typing moves the cursor too; VS Code tells of the text first, and of the cursor right after it. */
const TYPED_MS = 50;

export class Resting {
  #timer: NodeJS.Timeout | undefined;
  #typed: NodeJS.Timeout | undefined;

  constructor(private readonly tell: () => void) {}

  /** The text changed: wherever the cursor goes with it is asked about anyway. */
  typed(): void {
    this.stop();
    this.#typed = setTimeout(() => (this.#typed = undefined), TYPED_MS);
  }

  moved(): void {
    clearTimeout(this.#timer);
    if (!this.#typed) {
      this.#timer = setTimeout(this.tell, SETTLE_MS);
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#typed);
    this.#typed = undefined;
  }
}
