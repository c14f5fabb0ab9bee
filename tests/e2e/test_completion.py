"""The fallback: ``textDocument/completion``, only where it is due."""

import pytest

from tests.e2e.client import CANCELLED, position, uri_of
from tests.e2e.fake import fake_client, plan

MENU = {"textDocument": {"completion": {}}}
MENU_DYNAMIC = {
    "textDocument": {"completion": {"dynamicRegistration": True}, "inlineCompletion": {}},
    "workspace": {"configuration": False},
}


@pytest.fixture(scope="module")
def client():
    with fake_client() as client:
        assert "completionProvider" in client.initialize(MENU)
        yield client.wait_ready()


def test_a_client_with_inline_completion_gets_no_fallback():
    with fake_client() as client:
        assert "completionProvider" not in client.initialize()
        client.wait_ready()
        client.open("a.py", plan() + "x")
        assert client.complete("a.py", 1, 1)["items"] == []
        assert client.inside()["requests"] == []


def test_the_setting_offers_the_fallback_beside_inline_completion():
    with fake_client() as client:
        capabilities = client.initialize(options={"completion": {"fallback": "always"}})
        assert {"completionProvider", "inlineCompletionProvider"} <= set(capabilities)
        client.wait_ready()
        client.open("a.py", plan() + "x")
        assert len(client.complete("a.py", 1, 1)["items"]) == 1


def ask_menu(client, name, line, character):
    where = {"textDocument": {"uri": uri_of(name)}, "position": position(line, character)}
    return client.request("textDocument/completion", where)


@pytest.fixture
def both():
    """A client with inline completion and a menu, and a document that takes a moment."""
    with fake_client() as client:
        client.initialize(options={"completion": {"fallback": "always"}})
        client.wait_ready()
        client.open("a.py", plan("foo", delay_s=0.5) + "x")
        yield client


@pytest.mark.parametrize("order", [1, -1])
def test_menu_and_ghost_text_of_one_place_share_an_answer(both, order):
    ways = [lambda: both.ask_inline("a.py", 1, 1), lambda: ask_menu(both, "a.py", 1, 1)]
    asked = [way() for way in ways[::order]]
    assert [len(reply.result()["items"]) for reply in asked] == [1, 1]
    assert [len(reply.answers) for reply in asked] == [1, 1]
    assert len(both.inside()["requests"]) == 1
    history = both.request("code2lora/history", {}).result()
    assert history["acceptance"]["shown"] == 1, "it is one suggestion"
    both.edit("a.py", (1, 1), (1, 1), "foo")
    history = both.request("code2lora/history", {}).result()
    assert history["acceptance"]["accepted"] == 1


def test_a_cancelled_menu_leaves_the_ghost_text_its_answer(both):
    menu, ghost = ask_menu(both, "a.py", 1, 1), both.ask_inline("a.py", 1, 1)
    both.cancel(menu)
    assert menu.error().code == CANCELLED
    assert len(ghost.result()["items"]) == 1
    both.wait_until(lambda: both.inside()["pending"] == 0)


def test_menu_and_ghost_text_of_two_places_take_each_others_place(both):
    menu, ghost = ask_menu(both, "a.py", 1, 0), both.ask_inline("a.py", 1, 1)
    assert menu.result()["items"] == []
    assert len(ghost.result()["items"]) == 1


def test_a_change_takes_both_back(both):
    menu, ghost = ask_menu(both, "a.py", 1, 1), both.ask_inline("a.py", 1, 1)
    both.wait_until(lambda: both.inside()["alive"])
    both.edit("a.py", (1, 1), (1, 1), "y")
    assert menu.result()["items"] == ghost.result()["items"] == []


def test_a_later_setting_registers_the_fallback_and_takes_it_back():
    with fake_client() as client:
        assert "completionProvider" not in client.initialize(MENU_DYNAMIC)
        client.wait_ready()
        for fallback, method in [
            ("always", "registerCapability"),
            ("auto", "unregisterCapability"),
        ]:
            settings = {"code2lora": {"completion": {"fallback": fallback}}}
            client.notify("workspace/didChangeConfiguration", {"settings": settings})
            client.wait_until(lambda method=method: client.asked(f"client/{method}"))


def test_the_fallback_item_is_one_line_that_menus_can_match(client):
    client.open("a.py", plan("turn x\n    more") + "def f():\n    re\n")
    answer = client.complete("a.py", 2, 6)
    assert answer["isIncomplete"] is True
    (item,) = answer["items"]
    assert item["textEdit"] == {
        "range": {"start": position(2, 4), "end": position(2, 6)},
        "newText": "return x",
    }
    assert item["label"] == item["filterText"] == "return x"
    assert item["preselect"] is False


@pytest.mark.parametrize(
    ("line", "word"), [("x.größe_2", "größe_2"), ("x.", ""), ("", ""), ("return", "return")]
)
def test_the_item_begins_where_the_word_does(client, line, word):
    client.open("w.py", plan("!") + f"above\r{line}")
    (item,) = client.complete("w.py", 2, len(line))["items"]
    assert item["filterText"] == word + "!"
    assert item["textEdit"]["range"]["start"] == position(2, len(line) - len(word))


def test_behind_a_long_literal_the_item_comes_all_the_same(client):
    """A search for the word from the line's start would take minutes here."""
    line = 'x = "' + "A" * 200_000 + '" '
    client.open("long.py", plan("foo") + line)
    (item,) = client.complete("long.py", 1, len(line))["items"]
    assert item["textEdit"]["range"]["start"] == position(1, len(line))


def test_a_proposal_without_a_first_line_is_no_item(client):
    client.open("b.py", plan("\n    x = 1"))
    assert client.complete("b.py", 1, 0) == {"isIncomplete": True, "items": []}
