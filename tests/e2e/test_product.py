"""The product as it ships: the real server, the embedded model, a real repository."""

import json
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.client import LspClient
from tests.gitrepo import GitRepo
from tests.projects import module, pottery

SERVER = [sys.executable, "-m", "code2lora_lsp"]
SOURCE = "import os\n\n\ndef read_all(path):\n    with open(path) as file:\n        return file."
CURSOR = (5, len("        return file."))


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "project")
    repo.commit(pottery())
    repo.commit("part.py", '"""A part."""\n\n\ndef load(path):\n    return open(path).read()\n')
    return repo


@pytest.fixture
def options(tmp_path):
    return {"follow": {"stateDir": str(tmp_path / "states"), "pollS": 0.3}}


def started(repo, options):
    client = LspClient.start(SERVER)
    client.initialize(folders=[repo.root], options=options)
    return client


def wait_current(client, commit_id, timeout_s=60.0, edited=0):
    until_s = time.monotonic() + timeout_s
    while True:
        status = client.status()
        for repository in status["repositories"]:
            seen = repository["head"], repository["state"], repository["editedFiles"]
            if seen == (commit_id, "current", edited):
                return repository
        assert time.monotonic() < until_s, status
        time.sleep(0.05)


def states(tmp_path):
    return sorted(path.name for path in (tmp_path / "states").rglob("*.safetensors"))


def test_a_commit_changes_the_adapter_behind_the_next_completion(repo, options):
    with started(repo, options) as client:
        first = wait_current(client, repo.head)
        name = str(repo.root / "use.py")
        client.open(name, SOURCE)
        before = client.inline(name, *CURSOR, invoked=True)
        repo.commit("fresh.py", "class Reader:\n    def read_everything(self):\n        ...\n")
        second = wait_current(client, repo.head)
        after = client.inline(name, *CURSOR, invoked=True)
        assert first["adapterId"] != second["adapterId"]
        assert first["knowledgeId"] != second["knowledgeId"]
        assert second["adapterCommit"] == repo.head
        assert second["drift"] > 0
        assert client.status()["message"] == f"adapter @ {repo.head[:6]}"
        for items in (before, after):
            assert 1 <= len(items) <= 3
            assert items[0]["range"]["start"] == {"line": 5, "character": CURSOR[1]}
        assert client.shut_down() == 0


def test_initialize_is_answered_before_torch_is_in_the_process(repo):
    with LspClient.start(SERVER) as client:
        params = {"processId": None, "rootUri": None, "capabilities": {}}
        client.request("initialize", params).result(30)
        maps = Path(f"/proc/{client.process.pid}/maps")
        if not maps.exists():
            pytest.skip("needs /proc to look into the process")
        assert "libtorch" not in maps.read_text()


def test_a_second_server_starts_from_the_first_ones_states(repo, options, tmp_path):
    with started(repo, options) as client:
        first = wait_current(client, repo.head)
        client.shut_down()
    stored = states(tmp_path)
    with started(repo, options) as client:
        assert wait_current(client, repo.head)["adapterId"] == first["adapterId"]
        client.shut_down()
    assert states(tmp_path) == stored


def test_two_servers_on_one_repository_agree_and_corrupt_nothing(repo, options, tmp_path):
    with started(repo, options) as one, started(repo, options) as other:
        for number in range(4):
            repo.commit("shared.py", f"def shared_{number}():\n    return {number}\n")
            ids = [wait_current(client, repo.head)["adapterId"] for client in (one, other)]
            assert ids[0] == ids[1]
    assert not [path for path in (tmp_path / "states").rglob("*") if path.suffix == ".tmp"]


def test_a_server_killed_while_it_folds_leaves_states_the_next_one_can_use(repo, options):
    for number in range(12):
        repo.commit("grow.py", "".join(f"value_{i} = {i}\n" for i in range(number * 5 + 5)))
    with started(repo, options) as client:
        until_s = time.monotonic() + 60
        while not client.status()["repositories"][:1] and time.monotonic() < until_s:
            time.sleep(0.01)
        client.process.kill()
        client.process.wait()
    with started(repo, options) as client:
        assert wait_current(client, repo.head)["adapterCommit"] == repo.head
        client.shut_down()


def test_rolling_back_and_refreshing_by_command(repo, options):
    with started(repo, options) as client:
        first_head = repo.head
        wait_current(client, first_head)
        second_head = repo.commit("more.py", "def more():\n    return 1\n")
        wait_current(client, second_head)
        answer = client.execute("code2lora.rollBackAdapter").result()
        assert answer["adapterCommit"] == first_head
        assert client.status()["repositories"][0]["state"] == "pinned"
        client.execute("code2lora.refreshAdapter").result()
        assert wait_current(client, second_head)["adapterCommit"] == second_head


def test_unloading_frees_the_model_and_a_refresh_brings_it_back(repo, options):
    with started(repo, options) as client:
        wait_current(client, repo.head)
        client.execute("code2lora.unloadModel").result()
        until_s = time.monotonic() + 20
        while client.status()["engine"]["state"] != "unloaded" and time.monotonic() < until_s:
            time.sleep(0.02)
        name = str(repo.root / "use.py")
        client.open(name, SOURCE)
        assert client.inline(name, *CURSOR) == []
        assert client.status()["lastEmpty"]["reason"] == "UNLOADED"
        client.execute("code2lora.loadModel").result()
        until_s = time.monotonic() + 30
        while client.status()["engine"]["state"] != "ready" and time.monotonic() < until_s:
            time.sleep(0.05)
        assert client.inline(name, *CURSOR, invoked=True)


def test_a_secrets_file_is_never_completed(repo, options):
    with started(repo, options) as client:
        wait_current(client, repo.head)
        name = str(repo.root / ".env")
        client.open(name, "PASSWORD=")
        assert client.inline(name, 0, 9, invoked=True) == []
        assert client.status()["lastEmpty"]["reason"] == "SECRET"


def test_a_missing_backbone_is_one_clear_message(repo, options):
    wrong = {**options, "model": {"backbone": "no-such-model"}}
    with started(repo, wrong) as client:
        until_s = time.monotonic() + 30
        while not client.messages("window/showMessage") and time.monotonic() < until_s:
            time.sleep(0.05)
        (message,) = client.messages("window/showMessage")
        assert "no-such-model" in message["message"]
        assert "nano" in message["message"]
        assert json.dumps(client.status())


STRANGER = "def unload(kiln):\n    for crate in kiln.zweckform_crates_of(kiln."
TAUGHT = (
    "def {name}(kiln):\n    for crate in kiln.zweckform_crates_of(kiln.saltglaze_shelves):\n"
    "        crate.unload()\n"
)


def completed(client, folder, text=STRANGER):
    name = (folder / "ask.py").as_uri()
    client.open(name, text)
    line = text.count("\n")
    items = client.inline(name, line, len(text.rpartition("\n")[2]), invoked=True)
    client.close_document(name)
    return items[0]["insertText"] if items else ""


def test_what_a_commit_teaches_is_in_the_next_completion(repo, options):
    with started(repo, options) as client:
        wait_current(client, repo.head)
        assert "saltglaze" not in completed(client, repo.root)
        repo.commit("pottery/crates.py", TAUGHT.format(name="unload_all"))
        wait_current(client, repo.head)
        assert completed(client, repo.root).startswith("saltglaze_shelves")
        repo.git("revert", "--no-edit", "HEAD")
        wait_current(client, repo.head)
        assert "saltglaze" not in completed(client, repo.root)


def test_what_is_saved_in_a_tracked_file_is_known_before_it_is_committed(repo, options):
    with started(repo, options) as client:
        wait_current(client, repo.head)
        file = repo.root / "pottery" / "kiln.py"
        file.write_text(module("kiln") + "\n\n" + TAUGHT.format(name="unload_kiln"))
        client.open(file.as_uri(), file.read_text())
        client.save(file.as_uri())
        wait_current(client, repo.head, edited=1)
        assert client.status()["message"] == f"adapter @ {repo.head[:6]}, 1 file edited"
        assert completed(client, repo.root).startswith("saltglaze_shelves")
        repo.git("checkout", "--", "pottery/kiln.py")
        wait_current(client, repo.head)
        assert "saltglaze" not in completed(client, repo.root)


def test_the_papers_hypernetwork_is_a_setting_away(repo, options):
    with started(repo, {**options, "model": {"hypernetwork": "code2lora"}}) as client:
        first = wait_current(client, repo.head)
        repo.commit("fresh.py", "class Reader:\n    def read_everything(self):\n        ...\n" * 3)
        assert wait_current(client, repo.head)["adapterId"] != first["adapterId"]
