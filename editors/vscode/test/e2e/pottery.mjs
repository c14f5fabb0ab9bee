// The folders that the end-to-end test opens: a repository, and one that is none.
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";

const KILN = `"""A kiln and what is fired in it."""

from dataclasses import dataclass


@dataclass
class Bowl:
    """A bowl of clay with a glaze."""

    clay: str
    glaze: str
    weight_g: int


def firing_temperature(bowl: Bowl) -> int:
    """Degrees Celsius at which the glaze of a bowl melts."""
    if bowl.glaze == "celadon":
        return 1280
    return 1240


def firing_hours(bowl: Bowl) -> float:
    """Hours until the kiln is hot enough for a bowl."""
    return firing_temperature(bowl) / 150


def describe(bowl: Bowl) -> str:
    """One line about a bowl and how it is fired."""
    temperature = firing_temperature(bowl)
    return f"{bowl.clay} bowl, {bowl.glaze}, {temperature} degrees"
`;

const SHOP = `"""What the pottery sells."""

from kiln import Bowl, firing_temperature


def price(bowl: Bowl) -> float:
    """Euros for a bowl: clay by weight, and the heat it takes."""
    return bowl.weight_g * 0.02 + firing_temperature(bowl) * 0.01


def label(bowl: Bowl) -> str:
    """What the tag of a bowl says."""
`;

/** What somebody commits during the test: a name the repository did not have. */
export const SALTGLAZE = `"""Shelves for the salt kiln."""


def saltglaze_shelves(crates: int) -> int:
    """Shelves that the salt kiln needs for so many crates."""
    return 1 + crates // 12


def saltglaze_shelves_free(crates: int, used: int) -> int:
    """Shelves of the salt kiln that nothing stands on."""
    return saltglaze_shelves(crates) - used
`;

/** Modules of this project stand for the work of some days: their path here, and what the commit says. */
export const DAYS = [
  ["text/document.py", "Documents are snapshots"],
  ["text/gaps.py", "Gaps to be filled"],
  ["text/views.py", "Views of a file"],
  ["text/beginnings.py", "Where blocks begin"],
  ["text/healing.py", "A word being typed is taken back"],
  ["text/loops.py", "Loops are cut off"],
  ["text/extent.py", "How far a suggestion goes"],
  ["text/trim.py", "Suggestions are trimmed"],
];

export class Pottery {
  constructor(root, sources) {
    this.sources = sources;
    this.folder = path.join(root, "pottery");
    this.loose = path.join(root, "loose");
    this.workspace = path.join(root, "both.code-workspace");
    fs.mkdirSync(this.folder);
    fs.mkdirSync(this.loose);
    this.write("kiln.py", KILN);
    this.write("shop.py", SHOP);
    fs.writeFileSync(path.join(this.loose, "notes.py"), '"""In no repository."""\n\nimport os\n');
    fs.writeFileSync(path.join(this.loose, "glazes.md"), "# Glazes\n");
    fs.writeFileSync(this.workspace, JSON.stringify({ folders: [{ path: "pottery" }, { path: "loose" }] }));
    this.write("orders.py", '"""Orders of the pottery."""\n\n\n');
    this.git("init", "-q");
    this.first = this.commit("Kiln and shop");
  }

  write(name, text) {
    fs.writeFileSync(path.join(this.folder, name), text);
  }

  read(name) {
    return fs.readFileSync(path.join(this.folder, name), "utf8");
  }

  git(...args) {
    const who = ["-c", "user.name=potter", "-c", "user.email=potter@localhost", "-c", "commit.gpgsign=false"];
    return execFileSync("git", ["-C", this.folder, ...who, ...args], { encoding: "utf8" }).trim();
  }

  /** Commit all there is; the short id. */
  commit(subject) {
    this.git("add", ".");
    this.git("commit", "-qm", subject);
    return this.head();
  }

  head() {
    return this.git("rev-parse", "HEAD").slice(0, 6);
  }

  /** One day's work is committed; the short id. */
  day([source, subject]) {
    fs.copyFileSync(path.join(this.sources, source), path.join(this.folder, path.basename(source)));
    return this.commit(subject);
  }
}
