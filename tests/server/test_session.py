"""Switches, and the state of one connection."""

from pathlib import Path

import pytest
from lsprotocol import types

from code2lora_lsp.config import Settings, decode_settings
from code2lora_lsp.runtime.api import Reason
from code2lora_lsp.server.backend_host import BackendHost
from code2lora_lsp.server.convert import Encoding
from code2lora_lsp.server.repositories import Repositories
from code2lora_lsp.server.session import OpenDocument, Session


@pytest.fixture
def session():
    settings = Settings()
    return Session(settings, settings, Repositories(BackendHost(lambda *_: None)))


def document(language="python", uri="file:///home/me/repo/sub/a.py"):
    return OpenDocument(types.TextDocumentItem(uri, language, 1, "x"), Encoding.UTF16)


@pytest.mark.parametrize(
    ("languages", "toggled", "on"),
    [
        (["python"], {}, True),
        (["rust"], {}, False),
        ([], {}, True),
        (["rust"], {"python": True}, True),
        (["python"], {"python": False}, False),
    ],
)
def test_a_language_is_on_if_listed_unless_switched_by_hand(session, languages, toggled, on):
    session.settings = decode_settings({"completion": {"languages": languages}})
    session.toggles.languages.update(toggled)
    assert (session.why_off(document()) is None) is on


def test_the_innermost_switched_folder_decides(session):
    session.toggles.folders[Path("/home/me")] = False
    assert session.why_off(document()).reason is Reason.OFF
    session.toggles.folders[Path("/home/me/repo")] = True
    assert session.why_off(document()) is None
    assert session.why_off(document(uri="untitled:b.py")) is None


def test_the_switch_by_hand_outranks_the_setting(session):
    session.settings = decode_settings({"completion": {"enabled": False}})
    assert session.why_off(document()).detail == "everywhere"
    session.toggles.everywhere = True
    assert session.why_off(document()) is None


def test_a_snapshot_is_kept_until_the_next_change_and_never_changes():
    opened = document()
    before = opened.snapshot()
    assert opened.snapshot() is before
    opened.apply(2, [types.TextDocumentContentChangeWholeDocument("y")])
    assert (before.text, before.version) == ("x", 1)
    assert (opened.snapshot().text, opened.snapshot().version) == ("y", 2)
