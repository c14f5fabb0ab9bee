"""The VS Code extension's manifest: the server's settings, commands, trust, the walkthrough."""

import json
import math
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from code2lora_lsp.config import Settings, decode_settings, setting_names
from code2lora_lsp.errors import ConfigError
from code2lora_lsp.server.commands import COMMANDS
from code2lora_lsp.server.configuration import our_part

FOLDER = Path(__file__).parents[2] / "editors" / "vscode"
MANIFEST = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))
SECTION = "code2lora."
ALL: dict[str, dict[str, Any]] = {
    name.removeprefix(SECTION): schema
    for group in MANIFEST["contributes"]["configuration"]
    for name, schema in group["properties"].items()
}
OF_THE_EXTENSION = {"interpreter", "server.command", "trace.server"}
COMMANDS_OF_THE_EXTENSION = {
    f"code2lora.{name}"
    for name in (
        "openPanel", "compare", "toggleForLanguage", "toggleForFolder", "healthCheck",
        "copyDebugInformation", "restartServer", "showLogs", "createEnvironment", "openWalkthrough",
    )
}  # fmt: skip
OURS = {name: schema for name, schema in ALL.items() if name not in OF_THE_EXTENSION}
STEPS = {"integer": lambda number, to: number + int(math.copysign(1, to)), "number": math.nextafter}
JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", tuple: "array"}


def nested(name: str, value: object) -> object:
    for part in reversed(name.split(".")):
        value = {part: value}
    return value


def hint_of(name: str) -> Any:
    group, field = name.split(".")
    snake = re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), field)
    return get_type_hints(get_type_hints(Settings)[group])[snake]


def test_the_settings_are_the_servers_and_those_of_the_extension():
    assert set(OURS) == set(setting_names())
    assert len(ALL) == len(OURS) + len(OF_THE_EXTENSION)


@pytest.mark.parametrize("name", OURS)
def test_a_setting_has_the_default_and_type_of_the_server(name):
    hint, schema = hint_of(name), OURS[name]
    default = setting_names()[name]
    assert schema["default"] == (list(default) if isinstance(default, tuple) else default)
    origin = get_origin(hint)
    if origin is Literal:
        assert (schema["type"], tuple(schema["enum"])) == ("string", get_args(hint))
    else:
        assert schema["type"] == JSON_TYPES[origin or hint]
        assert schema.get("items") == ({"type": "string"} if origin is tuple else None)


@pytest.mark.parametrize("name", [name for name in OURS if OURS[name]["type"] in STEPS])
def test_a_number_is_bounded_as_the_server_bounds_it(name):
    schema, step = OURS[name], STEPS[OURS[name]["type"]]
    room = decode_settings({"completion": {"promptTokens": 32_768, "suffixTokens": 0}})
    for bound, outwards in ((schema["minimum"], -math.inf), (schema["maximum"], math.inf)):
        decode_settings(nested(name, bound), room)
        with pytest.raises(ConfigError, match=name):
            decode_settings(nested(name, step(bound, outwards)), room)


def test_every_setting_is_described_and_has_a_scope_and_words_for_its_choices():
    for name, schema in ALL.items():
        assert schema.get("description") or schema.get("markdownDescription"), name
        assert schema["scope"] in ("application", "machine-overridable", "window"), name
        if "enum" in schema:
            assert len(schema["enumDescriptions"]) == len(schema["enum"]), name


def test_the_server_ignores_the_settings_of_the_extension():
    for name in OF_THE_EXTENSION:
        assert our_part({"code2lora": nested(name, ALL[name]["default"])}) == {}


def test_the_defaults_sent_whole_are_the_servers_own():
    sent: dict[str, Any] = {}
    for name, schema in ALL.items():
        group, _, field = name.partition(".")
        sent.update({group: schema["default"]} if not field else {})
        if field:
            sent.setdefault(group, {})[field] = schema["default"]
    assert decode_settings(our_part({"code2lora": sent})) == Settings()


def test_a_folder_cannot_choose_what_is_run_loaded_or_written():
    trust = MANIFEST["capabilities"]["untrustedWorkspaces"]
    assert trust["supported"] == "limited"
    restricted = {name.removeprefix(SECTION) for name in trust["restrictedConfigurations"]}
    assert restricted == {
        "interpreter", "server.command", "model.backbone", "model.checkpoint", "model.encoder",
        "follow.stateDir",
    }  # fmt: skip
    assert {ALL[name]["scope"] for name in restricted} == {"machine-overridable"}
    assert MANIFEST["extensionKind"] == ["workspace"]


def test_the_palette_lists_the_servers_commands_and_ours():
    titles = {entry["command"] for entry in MANIFEST["contributes"]["commands"]}
    assert titles == (set(COMMANDS) - {"code2lora.accepted"}) | COMMANDS_OF_THE_EXTENSION
    assert {entry["category"] for entry in MANIFEST["contributes"]["commands"]} == {"code2lora"}


def test_commands_that_need_a_server_are_grey_without_one():
    needs = {
        entry["command"]
        for entry in MANIFEST["contributes"]["commands"]
        if entry.get("enablement") == "code2lora.running"
    }
    ours = {"code2lora.compare", "code2lora.toggleForLanguage", "code2lora.toggleForFolder"}
    assert needs == (set(COMMANDS) - {"code2lora.accepted"}) | ours


def test_the_extension_binds_no_keys_and_uses_no_proposed_api():
    assert "keybindings" not in MANIFEST["contributes"]
    assert "enabledApiProposals" not in MANIFEST


def test_what_the_walkthrough_shows_and_runs_is_there():
    titles = {entry["command"] for entry in MANIFEST["contributes"]["commands"]}
    for step in MANIFEST["contributes"]["walkthroughs"][0]["steps"]:
        media = step["media"]
        assert (FOLDER / (media.get("markdown") or media["image"])).is_file()
        linked = set(re.findall(r"command:(code2lora\.\w+)", step["description"]))
        awaited = set(re.findall(r"onCommand:(\S+)", " ".join(step.get("completionEvents", []))))
        assert linked | awaited <= titles


def test_the_lock_file_names_no_registry():
    lock = json.loads((FOLDER / "package-lock.json").read_text(encoding="utf-8"))
    packages = lock["packages"].values()
    assert [package["resolved"] for package in packages if "resolved" in package] == []
