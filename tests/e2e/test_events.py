"""What the backend reports: progress, status, incidents."""

import pytest

from tests.e2e.client import INLINE
from tests.e2e.fake import fake_client

SHOWS = {**INLINE, "window": {"workDoneProgress": True}}


@pytest.fixture(scope="module")
def client():
    with fake_client() as client:
        client.initialize(SHOWS)
        yield client.wait_ready()


def progress_of(client, token):
    return [m["value"] for m in client.messages("$/progress") if m["token"] == token]


def run_job(client, steps):
    known = len(client.asked("window/workDoneProgress/create"))
    client.emit("began", token="load", title="Loading nano")
    for done in steps:
        client.emit("moved", token="load", message=f"{done} of 100", percentage=done)
    client.emit("ended", token="load", message="ready")
    client.wait_until(lambda: len(client.asked("window/workDoneProgress/create")) > known)
    token = client.asked("window/workDoneProgress/create")[known]["token"]
    client.wait_until(
        lambda: progress_of(client, token)[-1:] == [{"kind": "end", "message": "ready"}]
    )
    return token


def test_a_job_is_created_begun_reported_and_ended_in_order(client):
    token = run_job(client, [50])
    values = progress_of(client, token)
    assert [value["kind"] for value in values] == ["begin", "report", "end"]
    assert values[0]["title"] == "Loading nano"
    assert (values[1]["message"], values[1]["percentage"]) == ("50 of 100", 50)


def test_a_returning_backend_token_is_a_new_bar_and_a_busy_job_does_not_flood(client):
    first, second = run_job(client, []), run_job(client, range(100))
    assert first != second
    assert 3 <= len(progress_of(client, second)) < 60


def test_no_progress_is_sent_to_a_client_that_cannot_show_it():
    with fake_client() as client:
        client.initialize()
        client.wait_ready()
        for event in ("began", "moved", "ended"):
            client.emit(event, token="t", title="x", message="x")
        client.emit("incident", message="the last event", isError=False)
        client.wait_until(lambda: client.messages("window/showMessage"))
        assert client.asked("window/workDoneProgress/create") == []
        assert client.messages("$/progress") == []


def test_an_incident_is_shown_once_and_logged(client):
    for _ in range(3):
        client.emit("incident", message="git did not answer; run git status", isError=True)
    client.emit("incident", message="another", isError=False)
    client.wait_until(lambda: len(client.messages("window/showMessage")) >= 2)
    shown = [(m["type"], m["message"]) for m in client.messages("window/showMessage")]
    assert shown == [(1, "git did not answer; run git status"), (2, "another")]
    logged = [m["message"] for m in client.messages("window/logMessage")]
    assert any("git did not answer" in message for message in logged)


def test_the_status_is_sent_when_it_changes_and_only_then():
    with fake_client(ready=False) as client:
        client.initialize()
        client.wait_until(lambda: client.inside()["calls"])
        for engine in ("loading", "ready", "ready", "failed", "ready"):
            client.emit("status", engine=engine)
            client.status()

        def said():
            messages = client.messages("code2lora/statusChanged")
            return [(m["kind"], m["busy"]) for m in messages]

        client.wait_until(lambda: len(said()) >= 4)
        assert said() == [("Normal", True), ("Normal", False), ("Error", False), ("Normal", False)]
        message = client.messages("code2lora/statusChanged")[1]
        assert message == {
            "busy": False,
            "kind": "Normal",
            "message": "plain backbone: no repository",
            "root": None,
            "reason": None,
        }


def test_the_status_follows_the_document_in_use(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / ".git").mkdir(parents=True)
    one, two = ((tmp_path.resolve() / name / "a.py").as_uri() for name in ("one", "two"))
    with fake_client() as client:
        client.initialize()
        client.wait_ready()

        def in_use():
            root = client.messages("code2lora/statusChanged")[-1]["root"]
            return root and root.rpartition("/")[2]

        client.open(one, "")
        client.wait_until(lambda: in_use() == "one")
        client.open(two, "")
        client.wait_until(lambda: in_use() == "two")
        client.notify("textDocument/didFocus", {"textDocument": {"uri": one}})
        client.wait_until(lambda: in_use() == "one")
        client.close_document(one)
        client.wait_until(lambda: in_use() == "two")
