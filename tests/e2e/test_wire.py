"""Every request gets exactly one answer: the corners where pygls alone gives none or two."""

import json

import pytest

from tests.e2e.fake import fake_client, plan


@pytest.fixture(scope="module")
def client():
    with fake_client() as client:
        client.initialize()
        yield client.wait_ready()


def test_a_request_before_initialize_is_refused():
    with fake_client() as client:
        assert client.request("code2lora/status", {}).error().code == -32002
        client.open("a.py", "x")
        client.initialize()
        assert client.inside()["documents"] == 0


def test_a_second_initialize_is_refused(client):
    error = client.request("initialize", {"capabilities": {}, "processId": None}).error()
    assert (error.code, error.message) == (-32600, "initialize: it was already answered")


def test_a_request_after_shutdown_is_refused():
    with fake_client() as client:
        client.initialize()
        client.request("shutdown", None).result()
        assert client.request("code2lora/status", {}).error().code == -32600
        client.notify("exit", None)
        assert client.process.wait(10) == 0


def test_shutdown_while_a_command_and_a_request_to_the_client_are_open():
    with fake_client() as client:
        client.answers_requests = False
        capabilities = {"window": {"workDoneProgress": True}}
        client.initialize(capabilities)
        client.wait_ready()
        client.emit("began", token="t", title="load")
        client.open("a.py", plan(delay_s=9))
        asked = client.ask_inline("a.py", 0, 0)
        client.wait_until(lambda: client.inside()["alive"])
        assert client.shut_down() == 0
        assert len(asked.answers) == 1


def test_parameters_of_the_wrong_shape_are_answered(client):
    error = client.request("textDocument/inlineCompletion", {"position": {"line": -1}}).error()
    assert error.code == -32602
    assert error.message.startswith("textDocument/inlineCompletion: ")
    assert client.status()["kind"] == "Normal"


def test_an_unknown_method_is_answered(client):
    assert client.request("code2lora/unknown", {}).error().code == -32601


def test_what_is_not_json_is_answered_without_an_id(client):
    client.send_raw(b"{nonsense")
    client.send_raw(b"[1, 2]")
    client.send_raw(json.dumps({"id": 1}).encode())
    client.wait_until(lambda: len(client.stray) == 3)
    errors = [(message["id"], message["error"]["code"]) for message in client.stray]
    assert errors == [(None, -32700), (None, -32600), (None, -32600)]
    client.stray.clear()


def test_our_own_methods_need_no_parameters(client):
    assert client.request("code2lora/status", None).result()["schemaVersion"] == 1


@pytest.mark.parametrize(
    "method",
    [
        "textDocument/didShowCompletion",
        "textDocument/didPartiallyAcceptCompletion",
        "textDocument/didFocus",
        "$/setTrace",
        "someone/elses",
    ],
)
def test_notifications_of_other_servers_clients_do_no_harm(client, method):
    before = len(client.messages("window/showMessage"))
    client.notify(method, {"item": {"insertText": "x"}, "acceptedLength": 1, "value": "off"})
    client.status()
    assert len(client.messages("window/showMessage")) == before


def test_shown_and_partly_accepted_items_are_counted(client):
    before = client.status()["counts"]
    client.notify("textDocument/didShowCompletion", {"item": {}})
    client.notify("textDocument/didPartiallyAcceptCompletion", {"item": {}, "acceptedLength": 2})
    after = client.status()["counts"]
    assert after["shown"] == before["shown"] + 1
    assert after["partiallyAccepted"] == before["partiallyAccepted"] + 1


def test_a_change_to_a_document_that_is_not_open_is_ignored(client):
    client.change("nowhere.py", {"text": "x"})
    assert client.status()["kind"] == "Normal"
    assert client.messages("window/showMessage") == []
