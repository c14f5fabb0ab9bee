"""The settings VS Code shows are the server's: same names, types, defaults and bounds."""

import json
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from code2lora_lsp.config import Settings, decode_settings, setting_names
from code2lora_lsp.server import protocol
from code2lora_lsp.server.commands import COMMANDS
from code2lora_lsp.server.configuration import our_part

FOLDER = Path(__file__).parents[2] / "editors" / "vscode"
MANIFEST = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))
SECTION = "code2lora."
ALL: dict[str, dict[str, Any]] = {
    name.removeprefix(SECTION): schema
    for name, schema in MANIFEST["contributes"]["configuration"]["properties"].items()
}
OF_THE_EXTENSION = {name for name in ALL if name.startswith(("server.", "trace."))}
OURS = {name: schema for name, schema in ALL.items() if name not in OF_THE_EXTENSION}
JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", tuple: "array"}


def nested(name: str, value: object) -> object:
    for part in reversed(name.split(".")):
        value = {part: value}
    return value


def hint_of(name: str) -> Any:
    group, field = name.split(".")
    snake = re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), field)
    return get_type_hints(get_type_hints(Settings)[group])[snake]


def test_every_setting_of_the_server_is_in_the_manifest_and_no_other():
    assert set(OURS) == set(setting_names())


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


@pytest.mark.parametrize("name", OURS)
def test_the_bounds_of_a_setting_are_accepted_by_the_server(name):
    for bound in ("minimum", "maximum"):
        if bound in OURS[name]:
            smallest = decode_settings({"completion": {"suffixTokens": 0}})
            decode_settings(nested(name, OURS[name][bound]), smallest)


def test_every_setting_is_described_and_belongs_to_our_section():
    for name, schema in ALL.items():
        assert schema.get("description") or schema.get("markdownDescription"), name
    properties = MANIFEST["contributes"]["configuration"]["properties"]
    assert all(name.startswith(SECTION) for name in properties)


def test_the_server_ignores_the_settings_of_the_extension():
    assert sorted(OF_THE_EXTENSION) == ["server.command", "trace.server"]
    for name in OF_THE_EXTENSION:
        assert our_part({"code2lora": nested(name, ALL[name]["default"])}) == {}


def test_the_defaults_sent_whole_are_the_servers_own():
    sent: dict[str, dict[str, object]] = {}
    for name, schema in ALL.items():
        group, field = name.split(".")
        sent.setdefault(group, {})[field] = schema["default"]
    assert decode_settings(our_part({"code2lora": sent})) == Settings()


def test_a_folder_cannot_choose_the_program_that_is_started():
    trust = MANIFEST["capabilities"]["untrustedWorkspaces"]
    assert trust["supported"] == "limited"
    assert trust["restrictedConfigurations"] == ["code2lora.server.command"]
    assert ALL["server.command"]["scope"] == "machine-overridable"
    assert MANIFEST["extensionKind"] == ["workspace"]


def test_the_palette_lists_the_servers_commands():
    titles = {entry["command"] for entry in MANIFEST["contributes"]["commands"]}
    assert titles - set(COMMANDS) == {"code2lora.restartServer", "code2lora.showLogs"}
    assert set(COMMANDS) - titles == set()
    assert protocol.SHOW_STATUS in titles


def test_the_lock_file_names_no_registry():
    lock = json.loads((FOLDER / "package-lock.json").read_text(encoding="utf-8"))
    packages = lock["packages"].values()
    assert [package["resolved"] for package in packages if "resolved" in package] == []
