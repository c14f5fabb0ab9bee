"""What is in the packed VS Code extension; ``make test-vscode`` packs one and names it in VSIX."""

import json
import os
import re
import zipfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "editors" / "vscode"
PACKED = Path(os.environ.get("VSIX", "VSIX is not set"))
MIB = 1 << 20
OF_NODE = (
    "vscode", "child_process", "crypto", "fs", "net", "os", "path", "readline", "url", "util",
)  # fmt: skip

pytestmark = pytest.mark.skipif(
    not PACKED.is_file(), reason="no packed extension: `make test-vscode` makes one"
)


def names() -> set[str]:
    with zipfile.ZipFile(PACKED) as packed:
        return {name.removeprefix("extension/") for name in packed.namelist()}


def test_the_package_holds_what_runs_and_what_is_shown_and_nothing_else():
    media = {f"media/{each.name}" for each in (FOLDER / "media").iterdir()}
    images = {f"images/{each.name}" for each in (FOLDER / "images").glob("*.png")}
    found = {name for name in names() if not name.endswith(".whl")}
    assert found == {
        "[Content_Types].xml", "extension.vsixmanifest", "package.json", "LICENSE.txt", "readme.md",
        "out/extension.js", "server/constraints.txt",
    } | media | images  # fmt: skip


def test_the_server_packed_with_it_is_this_version_with_the_model_inside():
    wheels = [name for name in names() if name.endswith(".whl")]
    if not wheels:
        pytest.skip("packed without a wheel: `make vscode` packs one")
    version = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["version"]
    assert wheels == [f"server/code2lora_lsp-{version}-py3-none-any.whl"]
    with zipfile.ZipFile(PACKED) as packed, packed.open(f"extension/{wheels[0]}") as file:
        models = {Path(name).name for name in zipfile.ZipFile(file).namelist() if "_models" in name}
    assert {"model.safetensors", "population.safetensors", "tokenizer.json"} <= models


def test_the_package_is_small_and_its_code_is_bundled():
    assert PACKED.stat().st_size < 40 * MIB
    with zipfile.ZipFile(PACKED) as packed:
        code = packed.read("extension/out/extension.js").decode("utf-8")
    required = set(re.findall(r'require\("([^"]+)"\)', code))
    assert {name for name in required if not name.startswith("node:")} <= set(OF_NODE)


def test_the_package_names_no_path_of_the_machine_that_built_it():
    with zipfile.ZipFile(PACKED) as packed:
        for name in packed.namelist():
            if name.endswith((".js", ".json", ".md", ".xml", ".vsixmanifest")):
                assert str(FOLDER.parents[1]).encode() not in packed.read(name), name
