"""A URI that names no place is a document in no file, or no folder; nothing else stops for it."""

import json

import pytest

from tests.e2e.fake import fake_client, plan

MALFORMED = [
    "file://[bad",
    "file://[bad/a.py",
    "file://a]b/c.py",
    "file://\u2100/c.py",
    "git://[bad",
    "file:///a%00b.py",
]


@pytest.fixture
def root(tmp_path):
    root = tmp_path.resolve() / "work"
    (root / ".git").mkdir(parents=True)
    return root


@pytest.fixture
def client(root):
    with fake_client() as client:
        client.initialize(folders=[root])
        client.wait_ready()
        client.wait_until(lambda: client.status()["root"] == str(root))
        yield client
        assert client.messages("window/showMessage") == []
        assert len(client.log().splitlines()) <= 1, client.log()


@pytest.mark.parametrize("uri", MALFORMED)
def test_a_document_is_completed_as_an_untitled_one_is(client, root, uri):
    client.open(uri, plan("pass") + "x")
    (item,) = client.inline(uri, 1, 1)
    assert item["insertText"] == "pass"
    asked = client.inside()["requests"][-1]
    assert (asked["repository"], asked["path"]) == (str(root), None)
    client.edit(uri, (1, 1), (1, 1), "y")
    assert len(client.inline(uri, 1, 2)) == 1
    client.save(uri)
    client.close_document(uri)
    assert client.inline(uri, 1, 2) == []
    assert client.inside()["documents"] == 0


@pytest.mark.parametrize("uri", MALFORMED)
def test_everything_else_that_takes_a_document_answers_for_it(client, root, uri):
    client.open(uri, plan("pass") + "x")
    client.notify("textDocument/didFocus", {"textDocument": {"uri": uri}})
    assert client.status()["root"] == str(root)
    assert client.request("code2lora/history", {"uri": uri}).result()["root"] == str(root)
    refreshed = client.execute("code2lora.refreshAdapter", {"uri": uri}).result()
    assert refreshed == {"refreshed": [str(root)]}
    place = {"textDocument": {"uri": uri}, "position": {"line": 1, "character": 1}}
    assert client.request("code2lora/compare", place).result()["withAdapter"]["text"] == "pass"
    error = client.execute("code2lora.rollBackAdapter", uri).error()
    assert "expected a file URI or an absolute path" in error.message


@pytest.mark.parametrize("uri", MALFORMED)
def test_a_workspace_folder_is_none(root, uri):
    folders = [{"uri": uri, "name": "no place"}, {"uri": root.as_uri(), "name": "work"}]
    with fake_client() as client:
        client.initialize(workspaceFolders=folders)
        client.wait_ready()
        client.wait_until(lambda: client.status()["root"] == str(root))
        change = {"added": folders[:1], "removed": folders[:1]}
        client.notify("workspace/didChangeWorkspaceFolders", {"event": change})
        assert [one["root"] for one in client.status()["repositories"]] == [str(root)]
        assert client.messages("window/showMessage") == []


@pytest.mark.parametrize("uri", MALFORMED)
def test_a_root_is_none(uri):
    with fake_client() as client:
        assert client.initialize(rootUri=uri)["inlineCompletionProvider"] == {}
        client.wait_ready()
        assert client.status()["repositories"] == []


def test_a_name_that_no_file_system_can_hold_is_answered_too(client):
    uri = "file:///\ud800.py"
    item = {"uri": uri, "languageId": "python", "version": 1, "text": plan("pass") + "x"}
    opened = {"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument": item}}
    client.send_raw(json.dumps(opened).encode())
    client.wait_until(lambda: client.inside()["documents"] == 1)
    assert client.status()["kind"] == "Normal"
