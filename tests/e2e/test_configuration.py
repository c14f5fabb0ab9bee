"""Settings: three ways in, one set of clear errors."""

import pytest

from tests.e2e.client import INLINE
from tests.e2e.fake import fake_client, plan

PULLS = {
    **INLINE,
    "workspace": {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": True}},
}


def push(client, settings):
    client.notify("workspace/didChangeConfiguration", {"settings": settings})


def reconfigured(client):
    return [value for name, *value in client.inside()["calls"] if name == "reconfigure"]


@pytest.fixture(scope="module")
def client():
    with fake_client() as client:
        client.initialize(options={"completion": {"maxTokens": 31}})
        yield client.wait_ready()


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"code2lora": s, "python": {}}])
def test_pushed_settings_reach_the_engine_bare_or_under_our_name(client, wrap):
    push(client, wrap({"completion": {"maxTokens": 17}}))
    client.wait_until(lambda: reconfigured(client)[-1:] == [[17]])
    push(client, {"code2lora": {}})
    client.wait_until(lambda: reconfigured(client)[-1:] == [[31]])


def test_a_wrong_setting_is_told_once_and_the_old_ones_stay(client):
    before = reconfigured(client)
    for _ in range(2):
        push(client, {"code2lora": {"completion": {"maxTokns": 5}}})
        push(client, {"code2lora": {"completion": {"maxTokens": "many"}}})
    client.open("a.py", plan() + "x")
    assert len(client.inline("a.py", 1, 1)) == 1
    assert reconfigured(client) == before
    shown = [m["message"] for m in client.messages("window/showMessage")]
    assert len(shown) == 2
    assert "maxTokns" in shown[0]
    assert "known here: enabled, maxTokens" in shown[0]
    assert "expected int, got 'many'" in shown[1]
    assert "The settings from before stay in force." in shown[1]


def test_other_servers_settings_are_not_our_business(client):
    before = len(client.messages("window/showMessage")), reconfigured(client)
    for settings in ({"python": {"analysis": {}}}, [], {}, None):
        client.send(
            {"method": "workspace/didChangeConfiguration", "params": {"settings": settings}}
        )
    assert (len(client.messages("window/showMessage")), reconfigured(client)) == before


def test_settings_of_the_editor_plug_in_are_ignored(client):
    before = len(client.messages("window/showMessage"))
    push(client, {"code2lora": {"trace": {"server": "off"}, "completion": {"maxTokens": None}}})
    client.status()
    assert len(client.messages("window/showMessage")) == before


def test_switching_completions_off_makes_them_inactive(client):
    push(client, {"code2lora": {"completion": {"enabled": False}}})
    client.open("off.py", plan() + "x")
    assert client.inline("off.py", 1, 1) == []
    status = client.status()
    assert (status["kind"], status["lastEmpty"]["reason"]) == ("Inactive", "OFF")
    push(client, {"code2lora": {}})
    assert len(client.inline("off.py", 1, 1)) == 1


def test_wrong_initialization_options_do_not_stop_the_handshake():
    with fake_client() as client:
        assert client.initialize(options={"completion": {"deadlineS": -1}})
        (message,) = client.wait_until(lambda: client.messages("window/showMessage"))
        assert "completion.deadlineS: -1.0 is outside" in message["message"]
        client.wait_ready()


def test_settings_are_pulled_before_the_engine_starts_and_on_an_empty_push():
    with fake_client() as client:
        client.configuration = {"model": {"backbone": "pulled"}}
        client.initialize(PULLS)
        client.wait_ready()
        assert client.status()["engine"]["backbone"] == "pulled"
        assert client.asked("workspace/configuration") == [{"items": [{"section": "code2lora"}]}]
        client.configuration = {"completion": {"maxTokens": 9}, "model": {"backbone": "pulled"}}
        push(client, None)
        client.wait_until(lambda: reconfigured(client) == [[9]])
        registered = client.asked("client/registerCapability")[0]["registrations"]
        assert [r["method"] for r in registered] == ["workspace/didChangeConfiguration"]
        client.configuration = {"model": {"backbone": "absent"}}
        push(client, None)
        (message,) = client.wait_until(lambda: client.messages("window/showMessage"))
        assert message["message"].startswith("code2lora: no model named 'absent'")


def test_a_client_that_never_answers_the_pull_still_gets_an_engine():
    with fake_client() as client:
        client.answers_requests = False
        client.initialize(PULLS)
        client.wait_ready()
        assert client.status()["engine"]["backbone"] == "nano"
