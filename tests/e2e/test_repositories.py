"""Several folders, several repositories; commands that are about one of them."""

from pathlib import Path

import pytest

from tests.e2e.client import CANCELLED, folder_json, position
from tests.e2e.fake import fake_client, plan


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("one", "two", "other", "one/vendored", "first"):
        (tmp_path / name / ".git").mkdir(parents=True)
        (tmp_path / name / "src").mkdir()
    (tmp_path / "loose").mkdir()
    return tmp_path.resolve()


def opened(client, *verbs):
    calls = client.inside()["calls"]
    return [
        (verb, Path(path).name) for verb, path in calls[1:] if verb in (verbs or ("open", "close"))
    ]


def seen(client, path):
    client.open(path.as_uri(), plan() + "x")
    client.inline(path.as_uri(), 1, 1)
    request = client.inside()["requests"][-1]
    return request["repository"], request["path"]


def test_each_document_is_asked_about_with_its_own_repository(tree):
    with fake_client() as client:
        client.initialize(folders=[tree / "one", tree / "two" / "src", tree / "loose"])
        client.wait_ready()
        client.wait_until(lambda: len(opened(client)) == 3)
        assert opened(client) == [("open", "one"), ("open", "src"), ("open", "loose")]
        assert seen(client, tree / "one/src/a.py") == (str(tree / "one"), "src/a.py")
        assert seen(client, tree / "two/b.py") == (str(tree / "two"), "b.py")
        assert seen(client, tree / "loose/c.py") == (None, None)
        client.open((tree / "one/vendored/src/d.py").as_uri(), "")
        client.wait_until(lambda: len(client.status()["repositories"]) == 3)
        wanted = (str(tree / "one/vendored"), "src/d.py")
        client.wait_until(lambda: seen(client, tree / "one/vendored/src/d.py") == wanted)


def test_folders_come_and_go_and_a_shared_repository_stays_for_the_other(tree):
    with fake_client() as client:
        client.initialize(folders=[tree / "one"])
        client.wait_ready()
        change_folders(client, added=[tree / "one" / "src", tree / "two"], removed=[])
        client.wait_until(lambda: len(opened(client)) == 3)
        change_folders(client, added=[], removed=[tree / "one"])
        change_folders(client, added=[], removed=[tree / "two"])
        client.wait_until(lambda: opened(client, "close"))
        assert opened(client, "close") == [("close", "two")]
        change_folders(client, added=[], removed=[tree / "one" / "src"])
        client.wait_until(lambda: len(opened(client, "close")) == 2)
        assert opened(client, "close")[-1] == ("close", "one")


def change_folders(client, added, removed):
    event = {"added": [folder_json(f) for f in added], "removed": [folder_json(f) for f in removed]}
    client.notify("workspace/didChangeWorkspaceFolders", {"event": event})


def test_a_file_outside_all_folders_opens_its_repository_while_it_is_open(tree):
    with fake_client() as client:
        client.initialize(folders=[tree / "one"])
        client.wait_ready()
        uri = (tree / "other/src/x.py").as_uri()
        client.open((tree / "two/readme.md").as_uri(), "", language="markdown")
        client.open(uri, plan() + "x")
        client.wait_until(lambda: ("open", "src") in opened(client))
        assert seen(client, tree / "other/src/y.py") == (str(tree / "other"), "src/y.py")
        client.close_document(uri)
        client.close_document((tree / "other/src/y.py").as_uri())
        client.wait_until(lambda: opened(client, "close"))
        assert opened(client) == [("open", "one"), ("open", "src"), ("close", "other")]


@pytest.mark.parametrize("repository", ["other", "one/vendored"])
def test_a_repository_stays_for_the_second_document_when_the_first_is_closed(tree, repository):
    first, second = (tree / repository / "src" / name for name in ("a.py", "b.py"))
    with fake_client() as client:
        client.initialize(folders=[tree / "one"])
        client.wait_ready()
        wanted = (str(tree / repository), "src/b.py")
        client.open(first.as_uri(), "x")
        client.wait_until(lambda: client.status()["root"] == wanted[0])
        assert seen(client, second) == wanted
        client.close_document(first.as_uri())
        assert seen(client, second) == wanted
        assert opened(client, "close") == []
        client.close_document(second.as_uri())
        client.wait_until(lambda: opened(client, "close"))
        assert opened(client, "close") == [("close", Path(repository).name)]


def test_a_repository_stays_for_its_document_when_the_workspace_folder_goes(tree):
    path = tree / "one/src/a.py"
    with fake_client() as client:
        client.initialize(folders=[tree / "one"])
        client.wait_ready()
        client.wait_until(lambda: client.status()["root"])
        assert seen(client, path) == (str(tree / "one"), "src/a.py")
        change_folders(client, added=[], removed=[tree / "one"])
        assert seen(client, path) == (str(tree / "one"), "src/a.py")
        client.close_document(path.as_uri())
        client.wait_until(lambda: opened(client, "close"))


def test_a_request_waits_until_its_repository_is_found(tree):
    path = tree / "other/src/a.py"
    with fake_client(open_s=0.5) as client:
        client.initialize()
        client.wait_ready()
        client.open(path.as_uri(), plan(with_repository="known") + "x")
        client.open("untitled:b", plan() + "x")
        waits = client.ask_inline(path.as_uri(), 1, 1)
        assert len(client.inline("untitled:b", 1, 1)) == 1
        assert not waits.answers, "the other document did not wait for this one's repository"
        assert waits.result()["items"][0]["insertText"] == "known"
        assert client.inside()["requests"][-1]["path"] == "src/a.py"


def test_a_document_that_is_closed_and_opened_again_waits_for_its_repository_too(tree):
    path = tree / "other/src/a.py"
    with fake_client(open_s=0.3) as client:
        client.initialize()
        client.wait_ready()
        for _ in range(2):
            assert seen(client, path) == (str(tree / "other"), "src/a.py")
            client.close_document(path.as_uri())


def test_a_comparison_waits_until_its_repository_is_found(tree):
    path = tree / "other/src/a.py"
    with fake_client(open_s=0.3) as client:
        client.initialize()
        client.wait_ready()
        client.open(path.as_uri(), plan("plain", with_repository="known") + "x")
        params = {"textDocument": {"uri": path.as_uri()}, "position": position(1, 1)}
        answer = client.request("code2lora/compare", params).result()
        assert (answer["without"]["text"], answer["withAdapter"]["text"]) == ("plain", "known")
        assert answer["adapterCommit"] == "a1b2c3d4"
        assert [request["path"] for request in client.inside()["requests"]] == ["src/a.py"] * 2


def test_a_repository_that_is_not_found_in_time_is_not_waited_for(tree):
    path = (tree / "other/src/a.py").as_uri()
    with fake_client(open_s=1.0) as client:
        client.initialize(options={"completion": {"deadlineS": 0.1}})
        client.wait_ready()
        client.open(path, plan() + "x")
        assert client.inline(path, 1, 1) == []
        assert client.status()["lastEmpty"]["reason"] == "TIMED_OUT"
        assert client.inside()["requests"] == []


def test_a_change_or_a_cancel_ends_the_wait_for_a_repository(tree):
    path = (tree / "other/src/a.py").as_uri()
    with fake_client(open_s=1.0) as client:
        client.initialize()
        client.wait_ready()
        client.open(path, plan() + "x")
        cancelled = client.ask_inline(path, 1, 1)
        client.cancel(cancelled)
        assert cancelled.error().code == CANCELLED
        changed = client.ask_inline(path, 1, 1)
        client.edit(path, (1, 1), (1, 1), "y")
        assert changed.result() == {"items": []}
        assert client.inside()["requests"] == []


def asked_with(client, uri):
    client.inline(uri, 1, 1)
    request = client.inside()["requests"][-1]
    return request["repository"], request["path"]


def test_a_file_in_a_folder_that_is_yet_to_be_made_belongs_to_the_repository_above(tree):
    path = tree / "other/new/deep/a.py"
    with fake_client() as client:
        client.initialize()
        client.wait_ready()
        assert seen(client, path) == (str(tree / "other"), "new/deep/a.py")
        assert opened(client) == [("open", "other")]


def test_a_language_switched_on_later_brings_the_repositories_of_its_documents(tree):
    uri, wanted = (tree / "other/a.js").as_uri(), (str(tree / "other"), "a.js")
    listed = {"code2lora": {"completion": {"languages": ["javascript"]}}}
    with fake_client() as client:
        client.initialize()
        client.wait_ready()
        client.open(uri, plan() + "x", language="javascript")
        assert client.inline(uri, 1, 1) == []
        client.execute("code2lora.toggleCompletions", {"language": "javascript"}).result()
        assert asked_with(client, uri) == wanted
        client.close_document(uri)
        client.execute("code2lora.toggleCompletions", {"language": "javascript"}).result()
        client.open(uri, plan() + "x", language="javascript")
        client.execute("code2lora.toggleCompletions", {"language": "javascript"}).result()
        assert asked_with(client, uri) == wanted
    with fake_client() as client:
        client.initialize()
        client.wait_ready()
        client.open(uri, plan() + "x", language="javascript")
        client.notify("workspace/didChangeConfiguration", {"settings": listed})
        assert asked_with(client, uri) == wanted


def test_a_repository_that_came_after_its_document_is_found_at_the_next_save(tree):
    path = tree / "loose/a.py"
    with fake_client() as client:
        client.initialize(folders=[tree / "loose"])
        client.wait_ready()
        assert seen(client, path) == (None, None)
        (tree / "loose/.git").mkdir()
        client.save(path.as_uri())
        assert asked_with(client, path.as_uri()) == (str(tree / "loose"), "a.py")
        (tree / "loose/inner/.git").mkdir(parents=True)
        inner = tree / "loose/inner/b.py"
        assert seen(client, inner) == (str(tree / "loose/inner"), "b.py")


def test_a_refresh_finds_the_repository_that_a_folder_has_become(tree):
    with fake_client() as client:
        client.initialize(folders=[tree / "loose"])
        client.wait_ready()
        error = client.execute("code2lora.refreshAdapter").error()
        assert "no repository is followed" in error.message
        (tree / "loose/.git").mkdir()
        refreshed = client.execute("code2lora.refreshAdapter").result()["refreshed"]
        assert refreshed == [str(tree / "loose")]
        assert client.status()["root"] == str(tree / "loose")


def test_nothing_is_said_to_be_refreshed_where_following_is_off(tree):
    with fake_client() as client:
        client.initialize(folders=[tree / "one"], options={"follow": {"enabled": False}})
        client.wait_ready()
        client.wait_until(lambda: opened(client))
        error = client.execute("code2lora.refreshAdapter").error()
        assert error.message.startswith("no repository is followed: the setting follow.enabled is")
        assert not opened(client, "refresh")


def test_the_message_names_the_adapter_of_the_document_in_use(tree):
    with fake_client() as client:
        client.initialize(folders=[tree / "one"])
        client.wait_ready()
        client.wait_until(lambda: client.status()["root"])
        status = client.status()
        assert (status["message"], status["root"]) == ("adapter @ a1b2c3", str(tree / "one"))
        assert status["repositories"][0]["commitsBehind"] == 0


def test_a_file_in_no_repository_is_not_said_to_have_anothers_adapter(tree):
    with fake_client() as client:
        client.initialize(folders=[tree / "one", tree / "loose"])
        client.wait_ready()
        client.wait_until(lambda: client.status()["root"])
        client.open((tree / "loose/notes.py").as_uri(), "x")
        status = client.status()
        assert (status["message"], status["root"]) == ("plain backbone: no repository", None)
        client.open("untitled:Untitled-1", "x")
        assert client.status()["root"] == str(tree / "one")


def test_a_file_that_is_looked_at_and_not_open_is_the_one_in_use(tree):
    def look_at(uri):
        client.notify("textDocument/didFocus", {"textDocument": {"uri": uri}})

    with fake_client() as client:
        client.initialize(folders=[tree / "one", tree / "two", tree / "loose"])
        client.wait_ready()
        client.wait_until(lambda: len(client.status()["repositories"]) == 2)
        client.open((tree / "one/a.py").as_uri(), "")
        look_at((tree / "two/C# and %41.md").as_uri())
        assert client.status()["root"] == str(tree / "two")
        assert client.execute("code2lora.rollBackAdapter").result()["root"] == str(tree / "two")
        look_at("output:extension-output-%231")
        assert client.status()["root"] == str(tree / "two"), "a panel is no other place to work in"
        look_at((tree / "loose/readme.md").as_uri())
        assert client.status()["root"] is None
        error = client.execute("code2lora.rollBackAdapter").error()
        assert "the file in use is in no followed repository; name one of:" in error.message
        look_at((tree / "one/a.py").as_uri())
        assert client.status()["root"] == str(tree / "one")


def test_commands_act_on_the_repository_that_is_meant(tree):
    with fake_client() as client:
        client.initialize(folders=[tree / "one", tree / "two", tree / "first"])
        client.wait_ready()
        client.wait_until(lambda: len(client.status()["repositories"]) == 3)
        refreshed = client.execute("code2lora.refreshAdapter").result()["refreshed"]
        assert [Path(root).name for root in refreshed] == ["first", "one", "two"]
        argument = {"uri": (tree / "two/src").as_uri()}
        refreshed = client.execute("code2lora.refreshAdapter", argument).result()["refreshed"]
        assert refreshed == [str(tree / "two")]
        client.open((tree / "two/a.py").as_uri(), "")
        rolled = client.execute("code2lora.rollBackAdapter").result()
        assert rolled == {"root": str(tree / "two"), "adapterCommit": "0ldc0de"}
        error = client.execute("code2lora.rollBackAdapter", str(tree / "first")).error()
        assert "there is no earlier adapter to roll back to" in error.message
        error = client.execute("code2lora.refreshAdapter", str(tree / "loose")).error()
        assert "is in no followed repository; followed are:" in error.message
        error = client.execute("code2lora.refreshAdapter", {"fodler": "x"}).error()
        assert "unknown argument 'fodler'; known here: folder, uri, language" in error.message


def test_a_document_in_no_file_is_completed_with_what_the_workspace_folder_knows(tree):
    with fake_client() as client:
        client.initialize(folders=[tree / "loose", tree / "one", tree / "two"])
        client.wait_ready()
        client.wait_until(lambda: len(client.status()["repositories"]) == 2)
        client.open("untitled:Untitled-1", plan() + "x")
        assert len(client.inline("untitled:Untitled-1", 1, 1)) == 1
        asked = client.inside()["requests"][-1]
        assert (asked["repository"], asked["path"]) == (str(tree / "one"), None)
        argument = {"uri": "untitled:Untitled-1"}
        refreshed = client.execute("code2lora.refreshAdapter", argument).result()["refreshed"]
        assert refreshed == [str(tree / "one")]
        rolled = client.execute("code2lora.rollBackAdapter", argument).result()
        assert rolled["root"] == str(tree / "one")
        error = client.execute("code2lora.toggleCompletions", argument).error()
        assert "in no file: give a folder, a language or nothing" in error.message
        assert len(client.inline("untitled:Untitled-1", 1, 1)) == 1


def test_toggles_and_the_model_switch(tree):
    path = (tree / "one/a.py").as_uri()
    with fake_client() as client:
        client.initialize(folders=[tree / "one"])
        client.wait_ready()
        client.open(path, plan() + "x")
        assert len(client.inline(path, 1, 1)) == 1
        for argument in (None, {"language": "python"}, {"folder": str(tree / "one")}):
            off = client.execute("code2lora.toggleCompletions", argument).result()
            assert off["enabled"] is False
            assert client.inline(path, 1, 1) == []
            on = client.execute("code2lora.toggleCompletions", argument).result()
            assert on == {"scope": off["scope"], "enabled": True}
            assert len(client.inline(path, 1, 1)) == 1
        assert client.execute("code2lora.showStatus").result()["kind"] == "Normal"
        assert client.messages("window/showMessage")[-1]["message"].startswith(
            "code2lora: adapter @"
        )
        client.execute("code2lora.unloadModel").result()
        client.wait_until(lambda: client.status()["kind"] == "Inactive")
        client.execute("code2lora.loadModel").result()
        client.wait_ready()


def test_a_save_is_handed_to_the_backend_and_asked_for_in_the_capabilities(tree):
    with fake_client() as client:
        capabilities = client.initialize(folders=[tree / "one"])
        assert capabilities["textDocumentSync"]["save"]
        client.wait_ready()
        client.open((tree / "one/src/a.py").as_uri(), plan())
        client.save((tree / "one/src/a.py").as_uri())
        client.save("untitled:new")
        client.wait_until(lambda: opened(client, "saved"))
        assert opened(client, "saved") == [("saved", "a.py")]
