// Values that the tests vary.
import type { FollowedCommit, History, Status } from "../../src/protocol";

export function followed(changes: Partial<FollowedCommit> = {}): FollowedCommit {
  return {
    commit: "a1b2c3d4e5f6",
    time: "2026-11-23T05:12:44+00:00",
    subject: "Kilns cool down",
    nTokens: 1412,
    distance: 0.08,
    referenceCosine: 0.93,
    reanchored: false,
    stepS: 0.4,
    withoutNats: 2,
    withNats: 1,
    nScored: 300,
    ...changes,
  };
}

export function history(changes: Partial<History> = {}): History {
  return {
    schemaVersion: 1,
    root: "/home/me/pottery",
    referenceCommit: "0f3e5d112233",
    commits: [followed()],
    latency: { n: 200, p50Ms: 61.2, p95Ms: 240.4, coldP50Ms: 210 },
    cache: { asked: 200, reusedShare: 0.943, withoutModel: 83 },
    acceptance: {
      enabled: true,
      since: "2026-11-01T08:00:00+00:00",
      shown: 120,
      accepted: 41,
      acceptedWords: 9,
      acceptedLines: 3,
      judged: 44,
      keptAfter30s: 37,
    },
    ...changes,
  };
}

export function status(): Status {
  return {
    schemaVersion: 1,
    server: { name: "code2lora-lsp", version: "0.1.0", pid: 4711 },
    busy: false,
    kind: "Normal",
    message: "adapter @ a1b2c3",
    root: "/home/me/pottery",
    engine: {
      state: "ready",
      backbone: "/home/me/models/secret-model",
      device: "cpu",
      dtype: "float32",
      memoryBytes: 123,
      lastTimings: { decodeS: 0.2 },
    },
    repositories: [
      {
        root: "/home/me/pottery",
        state: "current",
        adapterCommit: "a1b2c3d4e5f6",
        commitsBehind: 0,
        drift: 0.03,
        lastStepS: 0.4,
        editedFiles: 0,
      },
    ],
    completions: { enabled: true, languages: ["python"] },
    lastEmpty: { reason: "SECRET", message: "this file may hold secrets and is never read", detail: "/home/me/pottery/.env" },
    counts: { asked: 10 },
  };
}
