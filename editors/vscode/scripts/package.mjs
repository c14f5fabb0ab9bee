// Packs the built extension, with the wheel it installs if there is one in dist/ of the repository.
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";

const root = path.dirname(import.meta.dirname);
const repository = path.join(root, "../..");
process.chdir(root);
fs.copyFileSync(path.join(repository, "LICENSE"), "LICENSE");
fs.rmSync("server", { recursive: true, force: true });
fs.mkdirSync("server");
fs.copyFileSync(path.join(repository, "constraints.txt"), "server/constraints.txt");

const dist = path.join(repository, "dist");
const wheels = fs.existsSync(dist) ? fs.readdirSync(dist).filter((name) => name.endsWith(".whl")) : [];
if (wheels.length > 1) {
  throw new Error(`${dist} holds ${wheels.join(", ")}: leave the one to be packed`);
}
wheels.forEach((name) => fs.copyFileSync(path.join(dist, name), `server/${name}`));
console.log(wheels.length ? `with ${wheels[0]}` : 'without a wheel: "make vscode" packs one, so that a private environment can be made');

const vsce = ["node_modules/@vscode/vsce/vsce", "package", "--no-dependencies", "--allow-missing-repository"];
execFileSync(process.execPath, [...vsce, "--no-rewrite-relative-links", "-o", "code2lora-lsp.vsix"], { stdio: "inherit" });
