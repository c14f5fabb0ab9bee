// The packed extension in a real VS Code, with the real server and the embedded model, driven by keys.
//
//   TOOLS=DIR SERVER='["…/code2lora-lsp"]' node --test test/e2e/e2e.test.mjs
//
// TOOLS is a folder filled by setup-tools.sh; without it there is one test that is skipped. CHROMIUM is the
// browser (/usr/bin/chromium). IMAGES is where the README's pictures go; what failed leaves a picture there too.
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { DAYS, Pottery, SALTGLAZE } from "./pottery.mjs";
import { pause, processesWith, Workbench } from "./workbench.mjs";

const { TOOLS = "", SERVER = "", CHROMIUM = "/usr/bin/chromium", IMAGES = "" } = process.env;
const HERE = import.meta.dirname;
const VSIX = path.resolve(HERE, "../../code2lora-lsp.vsix");
const SOURCES = path.resolve(HERE, "../../../../code2lora_lsp");
const SILENT_MS = 4000;
/** The first asks at the end of shop.py for a name of its repository, the second for one that a later commit brings. */
const KNOWN_NAME = "\nhours = firing_";
const NEW_NAME = "def shelves(crates):\nreturn saltg";

const missing = [path.join(TOOLS, "node_modules/code-server"), CHROMIUM, VSIX].find((needed) => !TOOLS || !fs.existsSync(needed));
const skip = missing || !SERVER ? `VS Code end to end needs ${TOOLS ? (missing ?? "SERVER") : "TOOLS, a folder filled by setup-tools.sh"}` : false;

describe("VS Code", { skip }, () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "code2lora-e2e-"));
  const images = IMAGES || root;
  const log = path.join(root, "server.log");
  const command = skip ? [] : [...JSON.parse(SERVER), "--log-file", log];
  const pottery = new Pottery(root, SOURCES);
  const code = new Workbench(path.resolve(TOOLS), root, CHROMIUM);
  let hasFailed = false;

  const settings = (changes) => ({
    "code2lora.server.command": command,
    "code2lora.follow.stateDir": path.join(root, "states"),
    // what is sure enough to be shown is calibrated anew from time to time; here it is about the editor
    "code2lora.completion.minConfidence": 0,
    ...changes,
  });

  before(() => code.start(VSIX, pottery.workspace, settings({})));
  after(async () => {
    await code.stop();
    if (!hasFailed) {
      fs.rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 500 });
    }
  });

  /** A test that leaves a picture when it fails. */
  function pictured(sentence, walk) {
    test(sentence, async () => {
      try {
        await walk();
      } catch (error) {
        hasFailed = true;
        await code.picture(path.join(images, `failed - ${sentence.slice(0, 40)}.png`)).catch(() => undefined);
        throw error;
      }
    });
  }

  /** Type at the end, see what is offered, and take the typing back. */
  async function offeredFor(text, timeout) {
    await code.typeAtEnd(text);
    const offered = await code.ghostOrNothing(timeout);
    await code.picture(path.join(images, "last.png"));
    await code.revert();
    return offered;
  }

  pictured("the status bar names the commit of the adapter", async () => {
    await code.openFile("shop.py");
    await code.status(`adapter @ ${pottery.first}`, 300_000);
  });

  pictured("ghost text appears, typing through keeps its rest, Tab accepts, and the saved file is right", async () => {
    const typed = "    temperature = ";
    await code.typeAtEnd(typed);
    const offered = await code.ghost();
    await code.picture(path.join(images, "ghost.png"));
    assert.match(offered, /^firing_temperature\(/);
    await code.type(offered.slice(0, 3));
    assert.equal(await code.ghost(), offered.slice(3));
    await code.page.keyboard.press("Tab");
    await pause(500);
    await code.page.keyboard.press("Escape");
    await code.save();
    assert.ok(pottery.read("shop.py").endsWith(`\n${typed}${offered}`), pottery.read("shop.py"));
  });

  pictured("a word of it can be accepted with the editor's own key", async () => {
    await code.typeAtEnd("\nhours = firing_hours(bowl)\ntemperature = ");
    const offered = await code.ghost();
    await code.page.keyboard.press("Control+ArrowRight");
    const rest = await code.ghost();
    assert.ok(offered.endsWith(rest) && rest.length < offered.length, `${offered} → ${rest}`);
    await code.revert();
  });

  pictured("a commit made in the terminal moves the status, and the next suggestion is of the new adapter", async () => {
    await code.openFile("orders.py");
    assert.doesNotMatch(await offeredFor(NEW_NAME, 10_000), /^laze_shelves/);
    pottery.write("saltglaze.py", SALTGLAZE);
    await code.terminal(`cd ${pottery.folder} && git add . && git commit -qm 'Salt kiln shelves'`);
    for (let left = 60; left && pottery.head() === pottery.first; left--) {
      await pause(500);
    }
    assert.notEqual(pottery.head(), pottery.first, "the terminal committed");
    await code.status(`adapter @ ${pottery.head()}`);
    await code.page.keyboard.press("Control+Backquote");
    await code.openFile("orders.py");
    assert.match(await offeredFor(NEW_NAME), /^laze_shelves/);
  });

  pictured("the same cursor with the adapter off is shown side by side", async () => {
    await code.typeAtEnd(NEW_NAME);
    await code.ghost();
    await code.page.keyboard.press("Escape");
    await code.command("Compare with Adapter Off");
    const diff = code.page.locator(".monaco-diff-editor");
    await diff.first().waitFor();
    await code.page.locator(".tab.active", { hasText: `adapter @ ${pottery.head()}` }).first().waitFor();
    await code.page.locator(".monaco-diff-editor .modified .view-line", { hasText: "saltglaze_shelves" }).first().waitFor();
    await code.picture(path.join(images, "compare.png"));
    await code.page.keyboard.press("Control+F4");
    await code.openFile("orders.py");
    await code.revert();
  });

  pictured("switched off it is silent, for this language and for everywhere, and on again it offers", async () => {
    await code.openFile("shop.py");
    await code.command("Toggle Suggestions for This Language");
    assert.equal(await offeredFor(KNOWN_NAME, SILENT_MS), "");
    await code.command("Toggle Suggestions for This Language");
    await code.command("Toggle Suggestions");
    await code.status("completions are switched off");
    assert.equal(await offeredFor(KNOWN_NAME, SILENT_MS), "");
    await code.command("Toggle Suggestions");
    await code.status(`adapter @ ${pottery.head()}`);
    assert.match(await offeredFor(KNOWN_NAME), /\(bowl/);
  });

  pictured("a killed server comes back, and what was switched by hand stays switched", async () => {
    await code.command("Toggle Suggestions");
    await code.status("completions are switched off");
    const [killed] = processesWith(log);
    process.kill(killed, "SIGKILL");
    await code.status("completions are switched off");
    for (let left = 60; left && !processesWith(log).some((pid) => pid !== killed); left--) {
      await pause(500);
    }
    assert.ok(!processesWith(log).includes(killed) && processesWith(log).length > 0);
    await pause(3000);
    await code.status("completions are switched off");
    await code.command("Toggle Suggestions");
    await code.status(`adapter @ ${pottery.head()}`);
    assert.match(await offeredFor(KNOWN_NAME), /\(bowl/);
  });

  pictured("a folder without git is completed by the backbone, and the status says so", async () => {
    await code.openFile("notes.py");
    await code.status("plain backbone: no repository");
    assert.match(await offeredFor("\nfrom pathlib import Pa"), /^th/);
  });

  pictured("a language that is not listed is offered to be added, and then the server hears of it", async () => {
    await code.openFile("glazes.md");
    await code.command("Toggle Suggestions for This Language");
    await code.message('nothing is offered for markdown: "code2lora.completion.languages" does not list it');
    const before = processesWith(log);
    await code.page.getByRole("button", { name: "Add It" }).first().click();
    for (let left = 60; left && !processesWith(log).some((pid) => !before.includes(pid)); left--) {
      await pause(500);
    }
    await code.status("plain backbone: no repository", 120_000);
    assert.deepEqual(code.settings()["code2lora.completion.languages"], ["python", "markdown"]);
  });

  pictured("debug information names no folder", async () => {
    await code.openFile("shop.py");
    await code.status(`adapter @ ${pottery.head()}`); // the server of the test before has just begun to load
    await code.command("Copy Debug Information");
    await code.message("in the clipboard");
    const text = await code.page.evaluate("navigator.clipboard.readText()");
    assert.equal(JSON.parse(text).server.engine.state, "ready");
    assert.ok(!text.includes(root) && !text.includes("pottery"), text);
  });

  pictured("a click on the status opens the panel, and it follows commits while it is open", async () => {
    await code.openFile("shop.py");
    await code.status(`adapter @ ${pottery.head()}`);
    await code.page.locator(".statusbar-item", { hasText: "adapter @" }).first().click();
    await code.panel().locator("h1", { hasText: "pottery" }).waitFor();
    for (const day of DAYS) {
      const commit = pottery.day(day);
      await code.status(`adapter @ ${commit}`);
      await code.panel().locator(`tr[id="${commit}"]`).waitFor();
    }
    assert.equal(await code.panel().locator("svg a.column").count(), Number(pottery.git("rev-list", "--count", "HEAD")));
    await code.panel().locator("circle.with").nth(DAYS.length - 1).waitFor({ state: "attached" });
    await code.page.setViewportSize({ width: 1500, height: 1000 });
    await code.page.keyboard.press("Control+b");
    for (const name of ["panel", "panel-light"]) {
      await code.page.mouse.move(0, 0);
      await pause(1000);
      await code.picture(path.join(images, `${name}.png`), { x: 750, y: 0, width: 750, height: 1000 });
      await code.otherTheme();
    }
  });

  pictured("the health check runs in a terminal, with the editor's settings", async () => {
    await code.command("Run Health Check");
    await code.page.locator(".xterm-rows", { hasText: /all.is.well|remark|broken/i }).first().waitFor();
  });

  pictured("a server that does not announce inline completion fails this test", async () => {
    await code.openFile("shop.py");
    code.machine(settings({ "code2lora.server.command": [process.execPath, path.join(HERE, "deafServer.mjs"), ...command] }));
    for (let left = 120; left && !processesWith("deafServer.mjs").length; left--) {
      await pause(500);
    }
    await pause(2000);
    await code.status(`adapter @ ${pottery.head()}`);
    assert.equal(await offeredFor(KNOWN_NAME, 10_000), "");
  });
});
