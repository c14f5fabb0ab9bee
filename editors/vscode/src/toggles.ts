// What the user switched by hand. The server forgets it when it ends, so it is told again.

export interface Toggle {
  language?: string;
  folder?: string;
}

/** Is this language served? The server hears of no document in another; an empty list means every language. */
export function isServed(listed: string[], language: string): boolean {
  return listed.length === 0 || listed.includes(language);
}

/** The switches of this window, in the order of their first use. */
export class Toggles {
  #set = new Map<string, Toggle & { enabled: boolean }>();

  remember(toggle: Toggle, enabled: boolean): void {
    const { language, folder } = toggle;
    this.#set.set(JSON.stringify([language, folder]), { ...toggle, enabled });
  }

  /** Arguments of `code2lora.toggleCompletions` that bring a new server to where the last one was. */
  all(): (Toggle & { enabled: boolean })[] {
    return [...this.#set.values()];
  }
}
