// Bundles the extension, or with "test" its unit tests:  node scripts/build.mjs [test]
import * as fs from "node:fs";
import * as path from "node:path";
import { build } from "esbuild";

const root = path.dirname(import.meta.dirname);
const shared = { bundle: true, platform: "node", target: "node20", loader: { ".css": "text" }, logLevel: "warning" };
process.chdir(root);

if (process.argv[2] === "test") {
  fs.rmSync("out/test", { recursive: true, force: true });
  const entryPoints = fs.readdirSync("test/unit").map((name) => `test/unit/${name}`);
  await build({ ...shared, entryPoints, format: "esm", outdir: "out/test", outExtension: { ".js": ".mjs" } });
} else {
  const outfile = "out/extension.js";
  await build({ ...shared, entryPoints: ["src/extension.ts"], minify: true, format: "cjs", external: ["vscode"], outfile });
}
