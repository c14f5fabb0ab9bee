"""The fallback: ``textDocument/completion``, only where it is due."""

import pytest

from tests.e2e.client import position
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


def test_a_proposal_without_a_first_line_is_no_item(client):
    client.open("b.py", plan("\n    x = 1"))
    assert client.complete("b.py", 1, 0) == {"isIncomplete": True, "items": []}
