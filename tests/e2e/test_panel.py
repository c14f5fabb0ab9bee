"""What a panel asks for: followed commits, latency, both answers at one cursor, an export."""

import pytest

from code2lora_lsp.runtime.commit_records import (
    CommitRecord,
    Followed,
    followed_path,
    write_followed,
)
from tests.e2e.client import position, uri_of
from tests.e2e.fake import fake_client, plan


def record(number, **facts):
    return CommitRecord(
        commit=f"{number:040x}", parent=f"{number - 1:040x}" if number else None,
        checkpoint="ledger", time=f"2026-11-23T05:{number:02}:00+00:00",
        subject=f"Kiln {number}", **facts,
    )  # fmt: skip


@pytest.fixture
def root(tmp_path):
    (tmp_path / "work" / ".git").mkdir(parents=True)
    return (tmp_path / "work").resolve()


@pytest.fixture
def client(tmp_path, root):
    with fake_client(state_dir=str(tmp_path / "states")) as client:
        client.initialize(folders=[root])
        client.wait_ready()
        client.wait_until(lambda: client.status()["root"])
        yield client


def history(client, **params):
    return client.request("code2lora/history", params or None).result()


def test_the_history_is_the_kept_one_newest_first(client, tmp_path, root):
    scored = record(2, distance=0.5, without_nats=2.0, with_nats=1.5, n_scored=400)
    kept = Followed(record(0).commit, (record(0), record(1), scored))
    write_followed(followed_path(tmp_path / "states", root), kept)
    answer = history(client, limit=2)
    assert answer["root"] == str(root)
    assert answer["referenceCommit"] == record(0).commit
    assert [row["subject"] for row in answer["commits"]] == ["Kiln 2", "Kiln 1"]
    assert answer["commits"][0] == {
        "commit": scored.commit, "parent": record(1).commit, "checkpoint": "ledger",
        "time": scored.time, "subject": "Kiln 2", "nTokens": None, "distance": 0.5,
        "referenceCosine": None, "reanchored": False, "stepS": 0.0,
        "withoutNats": 2.0, "withNats": 1.5, "nScored": 400,
    }  # fmt: skip
    assert history(client, uri=(root / "a.py").as_uri(), limit=2) == answer
    assert history(client, root=str(root), limit=2) == answer


@pytest.mark.parametrize("uri", ["untitled:Untitled-1", "untitled:/elsewhere/new.py", "file://"])
def test_the_history_of_a_document_without_a_file_is_the_workspace_folders(client, root, uri):
    client.open(uri, "x = 1\n")
    assert history(client, uri=uri)["root"] == str(root)
    assert history(client)["root"] == str(root)


def test_without_a_file_the_first_folder_with_a_repository_decides(tmp_path):
    tree = tmp_path.resolve()
    for name in ("a/.git", "b", "c/.git", "d/.git"):
        (tree / name).mkdir(parents=True)
    with fake_client(state_dir=str(tree / "states")) as client:
        client.initialize(folders=[tree / "b", tree / "d", tree / "c"])
        client.wait_ready()
        client.open((tree / "a/x.py").as_uri(), "x = 1\n")
        client.wait_until(lambda: len(client.status()["repositories"]) == 3)
        assert history(client)["root"] == str(tree / "a")
        assert history(client, uri="untitled:Untitled-1")["root"] == str(tree / "d")
        assert history(client, uri=(tree / "b/y.py").as_uri())["root"] is None


def test_the_client_is_told_which_commit_was_written_down(client, root):
    changed = {"root": str(root), "commit": record(1).commit}
    client.emit("history", **changed)
    client.wait_until(lambda: client.messages("code2lora/historyChanged") == [changed])


def test_without_a_repository_there_is_a_session_but_no_history():
    with fake_client() as client:
        client.initialize()
        answer = history(client)
        assert (answer["root"], answer["commits"]) == (None, [])
        assert answer["latency"]["n"] == 0
        assert answer["cache"] == {"asked": 0, "reusedShare": None, "withoutModel": 0}


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0}, {"limit": "many"}, {"root": "work"}, {"root": "untitled:a.py"},
        {"uri": 1}, {"uri": "work/a.py"},
    ],
)  # fmt: skip
def test_a_history_of_something_else_is_refused_in_one_sentence(client, params):
    error = client.request("code2lora/history", params).error()
    assert error.code == -32803
    assert "expected" in error.message


def test_latency_cache_and_acceptance_are_of_this_session(client):
    client.open("a.py", plan("pass", prompt_tokens=100, reused_tokens=90) + "x\n")
    client.open("b.py", plan("pass", prompt_tokens=100, reused_tokens=0) + "x\n")
    client.open("c.py", plan("pass") + "x\n")
    for name in ("a.py", "b.py", "c.py"):
        client.inline(name, 1, 1)
    answer = history(client)
    assert answer["cache"] == {"asked": 3, "reusedShare": 0.45, "withoutModel": 1}
    assert (answer["latency"]["n"], answer["latency"]["coldN"]) == (3, 1)
    assert 0 < answer["latency"]["p50Ms"] <= answer["latency"]["p95Ms"]
    assert answer["acceptance"]["enabled"]
    assert answer["acceptance"]["shown"] == 3


def compare(client, name, line, character):
    params = {"textDocument": {"uri": uri_of(name)}, "position": position(line, character)}
    return client.request("code2lora/compare", params)


def test_both_answers_are_asked_for_at_the_same_cursor(client, root):
    name = (root / "a.py").as_uri()
    client.open(name, plan("plain", with_repository="known") + "x = \n")
    assert compare(client, name, 1, 4).result() == {
        "withAdapter": {"text": "known", "nats": 0.1, "reason": None},
        "without": {"text": "plain", "nats": 0.1, "reason": None},
        "adapterCommit": "a1b2c3d4",
    }
    asked = client.inside()["requests"]
    assert [request["repository"] for request in asked] == [None, str(root)]
    assert {request["trigger"] for request in asked} == {"invoked"}


def test_a_side_without_an_answer_says_why(client, root):
    name = (root / "a.py").as_uri()
    client.open(name, plan("", reason="EMPTY") + "x = \n")
    answer = compare(client, name, 1, 4).result()
    assert answer["without"]["text"] == ""
    assert answer["without"]["nats"] is None
    assert answer["without"]["reason"]["reason"] == "EMPTY"
    assert history(client)["acceptance"]["shown"] == 0


def test_a_change_takes_a_comparison_back(client, root):
    name = (root / "a.py").as_uri()
    client.open(name, plan("late", delay_s=5) + "x = \n")
    reply = compare(client, name, 1, 4)
    client.wait_until(lambda: client.inside()["requests"])
    client.edit(name, (1, 4), (1, 4), "1")
    assert reply.result()["withAdapter"]["reason"]["reason"] == "SUPERSEDED"


def test_a_comparison_that_is_overtaken_by_a_change_is_not_of_the_later_text(client, root):
    """Both messages arrive in one read."""
    identifier = {"uri": (root / "a.py").as_uri()}
    client.open(identifier["uri"], plan() + "x = \n")
    change = {"textDocument": {**identifier, "version": 2}, "contentChanges": [{"text": plan()}]}
    reply = client.request_then_notify(
        ("code2lora/compare", {"textDocument": identifier, "position": position(1, 4)}),
        ("textDocument/didChange", change),
    )
    assert reply.result()["withAdapter"]["reason"]["reason"] == "SUPERSEDED"
    assert client.inside()["requests"] == []


def test_a_comparison_for_a_version_that_is_not_there_says_so(client, root):
    uri = (root / "a.py").as_uri()
    client.open(uri, plan() + "x = \n", version=7)
    params = {"textDocument": {"uri": uri, "version": 6}, "position": position(1, 4)}
    answer = client.request("code2lora/compare", params).result()
    assert "version 6" in answer["without"]["reason"]["detail"]


def test_comparing_in_a_document_that_is_not_open_is_refused(client):
    assert "open it" in compare(client, "none.py", 0, 0).error().message
    assert "position" in client.request("code2lora/compare", {"uri": "a.py"}).error().message


def test_an_export_names_its_folder_and_what_the_rank_keeps(client, tmp_path, root):
    folder = tmp_path / "peft"
    answer = client.execute("code2lora.exportAdapter", {"to": str(folder)}).result()
    assert answer == {"folder": str(folder), "rank": 16, "kept": 0.9877}
    assert ["export", str(root), str(folder), 64] in client.inside()["calls"]


def test_an_export_without_an_adapter_says_so(tmp_path):
    (tmp_path / "first" / ".git").mkdir(parents=True)
    with fake_client() as client:
        client.initialize(folders=[tmp_path / "first"])
        client.wait_ready()
        client.wait_until(lambda: client.status()["root"])
        error = client.execute("code2lora.exportAdapter", {"to": str(tmp_path / "peft")}).error()
        assert "no adapter: the tree holds no Python" in error.message


@pytest.mark.parametrize("argument", [{}, {"to": "relative"}, {"to": "/x", "rank": 0}, {"to": 1}])
def test_an_export_to_nowhere_is_refused(client, argument):
    assert client.execute("code2lora.exportAdapter", argument).error().code == -32803
