// What the user switched by hand. The server forgets it when it ends, so it is told again.

export interface Toggle {
  language?: string;
  folder?: string;
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
