"""What is counted of suggestions over the wire, and where it is kept."""

import json

import pytest

from tests.e2e.client import position, uri_of
from tests.e2e.fake import fake_client, plan

LINE = plan("sum(prices)") + "total = \n"
CURSOR = (1, len("total = "))


@pytest.fixture
def client(tmp_path):
    with fake_client(state_dir=str(tmp_path)) as client:
        client.initialize()
        yield client.wait_ready()


def stored(tmp_path):
    return json.loads((tmp_path / "metrics.json").read_text())["counts"]


def offered(client, name="a.py", cursor=CURSOR):
    (item,) = client.inline(name, *cursor)
    return item["command"]


def test_an_item_accepted_in_an_editor_that_runs_commands_counts_once(client, tmp_path):
    client.open("a.py", LINE)
    command = offered(client)
    client.edit("a.py", CURSOR, CURSOR, "sum(prices)")
    assert client.execute(command["command"], *command["arguments"]).result() is None
    assert client.shut_down() == 0
    assert stored(tmp_path) == {
        "shown": 1, "accepted": 1, "accepted_words": 0, "accepted_lines": 0, "judged": 1, "kept": 1,
    }  # fmt: skip


def test_an_item_accepted_in_an_editor_that_says_nothing_counts_too(client, tmp_path):
    client.open("a.py", LINE)
    offered(client)
    client.edit("a.py", CURSOR, CURSOR, "sum(prices)")
    client.edit("a.py", CURSOR, (1, CURSOR[1] + 3), "max")
    client.shut_down()
    counts = stored(tmp_path)
    assert (counts["accepted"], counts["judged"], counts["kept"]) == (1, 1, 0)


def test_several_key_strokes_in_one_message_are_typing(client, tmp_path):
    """Neovim gathers what is typed within 150 ms, as one change for each key."""
    client.open("a.py", LINE)
    offered(client)
    keys = [(CURSOR[1] + at, char) for at, char in enumerate("sum(prices)")]
    changes = [
        {"range": {"start": position(1, at), "end": position(1, at)}, "text": char}
        for at, char in keys
    ]
    client.change("a.py", *changes)
    client.shut_down()
    assert stored(tmp_path)["shown"] == 1
    assert stored(tmp_path)["accepted"] == stored(tmp_path)["accepted_words"] == 0


def test_a_client_that_sends_whole_documents_is_understood(client, tmp_path):
    client.open("a.py", LINE)
    offered(client)
    client.change("a.py", {"text": LINE.replace("total = ", "total = sum(prices)")})
    client.close_document("a.py")
    client.shut_down()
    counts = stored(tmp_path)
    assert (counts["accepted"], counts["kept"]) == (1, 1)


def test_an_edit_in_the_same_message_as_the_acceptance_moves_what_was_accepted(client, tmp_path):
    client.open("a.py", LINE)
    offered(client)
    changes = [
        {"range": {"start": position(line, at), "end": position(line, at)}, "text": text}
        for line, at, text in ((*CURSOR, "sum(prices)"), (0, 0, "import os\n"))
    ]
    client.change("a.py", *changes)
    client.shut_down()
    assert (stored(tmp_path)["accepted"], stored(tmp_path)["kept"]) == (1, 1)


def test_counts_of_two_sessions_add_up(tmp_path):
    for number in (1, 2):
        with fake_client(state_dir=str(tmp_path)) as client:
            client.initialize()
            client.wait_ready().open("a.py", LINE)
            offered(client)
            client.shut_down()
        assert stored(tmp_path)["shown"] == number


def test_nothing_is_counted_where_metrics_are_off(tmp_path):
    with fake_client(state_dir=str(tmp_path)) as client:
        client.initialize(options={"metrics": {"enabled": False}})
        client.wait_ready().open("a.py", LINE)
        (item,) = client.inline("a.py", *CURSOR)
        assert "command" not in item
        client.edit("a.py", CURSOR, CURSOR, "sum(prices)")
        client.shut_down()
    assert not (tmp_path / "metrics.json").exists()


def test_a_store_that_cannot_be_written_stops_nothing(tmp_path):
    file = tmp_path / "file"
    file.write_text("in the way")
    with fake_client(state_dir=str(file)) as client:
        client.initialize()
        client.wait_ready().open("a.py", LINE)
        offered(client)
        assert client.shut_down() == 0


def test_the_menu_item_of_the_fallback_can_be_accepted(tmp_path):
    with fake_client(state_dir=str(tmp_path)) as client:
        client.initialize(capabilities={})
        client.wait_ready().open("a.py", plan("ices)") + "total = sum(pr\n")
        (item,) = client.complete("a.py", 1, 14)["items"]
        assert item["textEdit"]["newText"] == "prices)"
        client.edit("a.py", (1, 12), (1, 14), "prices)")
        client.execute(item["command"]["command"], *item["command"]["arguments"]).result()
        client.shut_down()
    assert stored(tmp_path)["accepted"] == 1


def test_the_status_says_why_nothing_was_offered_until_something_is(client):
    def reasons():
        told = client.messages("code2lora/statusChanged")
        return [message["reason"] and message["reason"]["reason"] for message in told]

    client.open("a.py", plan("", reason="LOW_CONFIDENCE", detail="0.10 per token") + "x = \n")
    client.open("b.py", LINE)
    client.status()
    before = len(reasons())
    for _ in range(3):
        assert client.inline("a.py", 1, 4) == []
    offered(client, "b.py")
    client.wait_until(lambda: len(reasons()) >= before + 2)
    assert reasons()[before:] == ["LOW_CONFIDENCE", None]
    assert client.status()["lastEmpty"]["reason"] == "LOW_CONFIDENCE"


def test_a_reason_goes_with_its_document_and_with_the_switch_that_was_thrown(client):
    def told():
        return client.messages("code2lora/statusChanged")[-1]["reason"]

    client.open("a.py", LINE)
    client.open("b.py", LINE)
    client.execute("code2lora.toggleCompletions", {"language": "python"}).result()
    assert client.inline("b.py", 0, 13) == []
    client.wait_until(lambda: told() and told()["reason"] == "OFF")
    client.notify("textDocument/didFocus", {"textDocument": {"uri": uri_of("a.py")}})
    client.wait_until(lambda: told() is None)
    assert client.inline("a.py", 0, 13) == []
    client.wait_until(lambda: told() is not None)
    client.execute("code2lora.toggleCompletions", {"language": "python"}).result()
    client.wait_until(lambda: told() is None)


def test_an_answer_taken_back_is_no_reason(client):
    client.open("a.py", plan("late", delay_s=5) + "x = \n")
    reply = client.ask_inline("a.py", 1, 4)
    client.edit("a.py", (1, 4), (1, 4), "1")
    assert reply.result()["items"] == []
    assert client.status()["lastEmpty"]["reason"] == "SUPERSEDED"
    assert not any(m["reason"] for m in client.messages("code2lora/statusChanged"))
