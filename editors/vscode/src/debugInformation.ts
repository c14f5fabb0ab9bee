// What helps somebody else to see what is wrong here: versions, states, figures. No paths and no code.
import { type Status, shortCommit } from "./protocol";

/** What the editor knows; `settings` are names and values of those that differ from their defaults. */
export interface Editor {
  extension: string;
  vscode: string;
  platform: string;
  remote: string | undefined;
  isTrusted: boolean;
  nFolders: number;
  origin: string | undefined;
  settings: Record<string, unknown>;
}

/** A report as JSON. Only named fields are taken over, so that what is added later stays at home. */
export function debugInformation(editor: Editor, status: Status | undefined): string {
  const settings = Object.entries(editor.settings).map(([name, value]) => [name, harmless(value)]);
  return JSON.stringify({ ...editor, settings: Object.fromEntries(settings), server: status ? ofServer(status) : "does not run" }, null, 2);
}

function ofServer(status: Status): object {
  const { engine, lastEmpty, repositories } = status;
  return {
    schemaVersion: status.schemaVersion,
    version: status.server.version,
    busy: status.busy,
    kind: status.kind,
    engine: {
      state: engine.state,
      backbone: harmless(engine.backbone),
      device: engine.device,
      dtype: engine.dtype,
      memoryBytes: engine.memoryBytes,
      lastTimings: engine.lastTimings,
    },
    repositories: repositories.map((each) => ({
      state: each.state,
      adapter: each.adapterCommit && shortCommit(each.adapterCommit),
      commitsBehind: each.commitsBehind,
      drift: each.drift,
      lastStepS: each.lastStepS,
      editedFiles: each.editedFiles,
    })),
    completions: { enabled: status.completions.enabled, languages: status.completions.languages },
    lastEmpty: lastEmpty && { reason: lastEmpty.reason, message: lastEmpty.message },
    counts: status.counts,
  };
}

/** Numbers, switches and short plain words; of anything else only that it is set. */
function harmless(value: unknown): unknown {
  const isPlain = typeof value !== "object" && !(typeof value === "string" && !/^[\w.:-]*$/.test(value));
  return value === null || isPlain ? value : "(set)";
}
