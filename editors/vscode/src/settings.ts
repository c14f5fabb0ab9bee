// Our own settings, as the manifest names them.

/** The part of the manifest that is read here: groups of settings. */
export interface Manifest {
  contributes: { configuration: { properties: Record<string, { default: unknown }> }[] };
}

/** Names and values of the settings that are not at their defaults. */
export function changedSettings(manifest: Manifest, valueOf: (name: string) => unknown): Record<string, unknown> {
  const all = manifest.contributes.configuration.flatMap(({ properties }) => Object.entries(properties));
  const changed = all.filter(([name, schema]) => JSON.stringify(valueOf(name)) !== JSON.stringify(schema.default));
  return Object.fromEntries(changed.map(([name]) => [name, valueOf(name)]));
}

/** A setting of the server as it is given on its command line; nothing for those of this extension. */
export function asOption(name: string, value: unknown): string[] {
  const own = name.replace(/^code2lora\./, "");
  const isOfTheServer = own.includes(".") && !/^(server|trace)\./.test(own);
  return isOfTheServer ? ["--set", `${own}=${JSON.stringify(value)}`] : [];
}
