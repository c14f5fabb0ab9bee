"""The panel's data from the product as it ships: the real server and the embedded model."""

import json

import pytest

from tests.e2e.test_product import CURSOR, SOURCE, started, wait_current
from tests.gitrepo import GitRepo
from tests.projects import pottery

COMMITTED = (
    "def fire_again(kiln_ticket, clay_batches):\n    for clay_batch in clay_batches:\n"
    "        kiln_ticket.stamp_batch(clay_batch, cone=7)\n"
)
ASKED = "def fire(kiln_ticket, clay_batches):\n    for clay_batch in clay_batches:\n        kiln_"


def options_of(folder):
    return {"follow": {"stateDir": str(folder / "states"), "pollS": 0.3}}


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    repo = GitRepo(tmp_path_factory.mktemp("pottery") / "project")
    repo.commit(pottery())
    return repo


@pytest.fixture(scope="module")
def client(repo):
    """One server for all tests here: starting it takes most of their time."""
    with started(repo, options_of(repo.root.parent)) as client:
        wait_current(client, repo.head)
        yield client


def history(client):
    return client.request("code2lora/history", {}).result()


def told(client):
    return client.messages("code2lora/historyChanged")


def test_a_followed_commit_appears_with_its_distance_then_its_scores_and_both_are_told(
    repo, client
):
    parent = repo.head
    client.wait_until(lambda: told(client), 30)
    assert told(client) == [{"root": str(repo.root), "commit": parent}]
    assert [row["commit"] for row in history(client)["commits"]] == [parent]
    repo.commit({"pottery/again.py": COMMITTED}, message="Fire again")
    client.wait_until(lambda: len(told(client)) == 2, 60)
    assert history(client)["commits"][0]["commit"] == repo.head
    client.wait_until(lambda: len(told(client)) == 3, 60)
    assert {one["commit"] for one in told(client)[1:]} == {repo.head}
    answer = history(client)
    newest, first = answer["commits"]
    assert (newest["commit"], newest["parent"]) == (repo.head, parent)
    assert newest["subject"] == "Fire again"
    assert newest["nScored"] > 0
    assert newest["distance"] > 0
    assert newest["nTokens"] > 0
    assert first["commit"] == answer["referenceCommit"] == parent
    # the commit does once more what the pottery does everywhere
    assert newest["withNats"] < newest["withoutNats"]


def test_the_status_names_a_commit_made_in_the_terminal(repo, client):
    client.open((repo.root / "use.py").as_uri(), SOURCE)
    repo.commit("more.py", "def more():\n    return 1\n")

    def says():
        last = client.messages("code2lora/statusChanged")[-1]
        return last["message"] == f"adapter @ {repo.head[:6]}" and not last["busy"]

    client.wait_until(says, 60)


def test_both_completions_at_one_cursor(repo, client):
    name = (repo.root / "compared.py").as_uri()
    client.open(name, ASKED)
    place = {"line": 2, "character": len(ASKED.rpartition("\n")[2])}
    params = {"textDocument": {"uri": name}, "position": place}
    answer = client.request("code2lora/compare", params).result(60)
    assert answer["adapterCommit"] == repo.head
    assert answer["withAdapter"]["text"].startswith("ticket.stamp_batch(")
    assert answer["without"]["text"] != answer["withAdapter"]["text"]


def test_the_adapter_is_exported_by_command(client, tmp_path):
    argument = {"to": str(tmp_path / "peft"), "rank": 8}
    answer = client.execute("code2lora.exportAdapter", argument).result(60)
    assert (answer["folder"], answer["rank"]) == (argument["to"], 8)
    assert 0 < answer["kept"] <= 1
    assert json.loads((tmp_path / "peft" / "adapter_config.json").read_text())["r"] == 8


def test_switched_off_nothing_is_offered_and_switched_on_it_is(repo, client):
    name = (repo.root / "toggled.py").as_uri()
    client.open(name, SOURCE)
    for toggle in ({}, {"language": "python"}, {"folder": str(repo.root)}):
        client.execute("code2lora.toggleCompletions", {**toggle, "enabled": False}).result()
        assert client.inline(name, *CURSOR, invoked=True) == []
        assert client.status()["lastEmpty"]["reason"] == "OFF"
        client.execute("code2lora.toggleCompletions", {**toggle, "enabled": True}).result()
        assert client.inline(name, *CURSOR, invoked=True)


def test_a_folder_without_git_completes_from_the_backbone_and_says_so(tmp_path):
    with started(PlainFolder(tmp_path), options_of(tmp_path)) as client:
        client.wait_until(lambda: client.status()["engine"]["state"] == "ready", 60)
        name = (tmp_path / "use.py").as_uri()
        client.open(name, SOURCE)
        assert client.inline(name, *CURSOR)
        status = client.status()
        assert (status["kind"], status["message"]) == ("Normal", "plain backbone: no repository")
        assert (status["root"], status["repositories"]) == (None, [])
        assert client.messages("code2lora/statusChanged")[-1]["message"] == status["message"]


class PlainFolder:
    """Where ``started`` expects a repository."""

    def __init__(self, root):
        self.root = root
