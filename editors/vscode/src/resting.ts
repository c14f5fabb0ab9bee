// When a cursor that was moved, not typed with, has come to rest: its place can be read before a key is pressed.

const SETTLE_MS = 100;

export class Resting {
  #timer: NodeJS.Timeout | undefined;
  readonly #versions = new WeakMap<object, number>();

  constructor(private readonly tell: () => void) {}

  /** The cursor moved in a document. Typing moves it too: then there is another version, which is asked about anyway. */
  moved(document: { version: number }): void {
    const before = this.#versions.get(document);
    this.#versions.set(document, document.version);
    this.stop();
    if (before === undefined || before === document.version) {
      this.#timer = setTimeout(this.tell, SETTLE_MS);
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
