"""``textDocument/didFocus`` with a position: the backend is told where a request is likely."""

from contextlib import contextmanager

import pytest

from tests.e2e.client import uri_of
from tests.e2e.fake import fake_client
from tests.gitrepo import GitRepo


@pytest.fixture(scope="module")
def client():
    with fake_client() as client:
        client.initialize(options={"completion": {"languages": ["python"]}})
        yield client.wait_ready()


@contextmanager
def finding_slowly(**options):
    """A server that takes a while to find a repository."""
    with fake_client(open_s=0.4) as client:
        client.initialize(options=options)
        yield client.wait_ready()


def rest(client, name, line=0, character=0, **fields):
    where = {"line": line, "character": character}
    told = {"textDocument": {"uri": uri_of(name)}, "position": where, **fields}
    client.notify("textDocument/didFocus", told)


def expected(client):
    client.status()  # what came before it was handled
    return client.inside()["expected"]


def test_the_place_is_told_in_the_units_of_the_client(client):
    client.open("faces.py", "# 😀😀 x\ny = 1\n")
    rest(client, "faces.py", 0, 7)
    client.wait_until(lambda: client.inside()["expected"])
    found = expected(client)[-1]
    assert (found["before"], found["after"]) == ("# 😀😀 ", "x\ny = 1\n")
    assert found["trigger"] == "automatic"


def test_the_place_is_in_the_text_as_it_is_by_then(client):
    client.open("grows.py", "x = 1\n")
    n_told = len(expected(client))
    client.edit("grows.py", (0, 0), (0, 0), "# first\n")
    rest(client, "grows.py", 1, 5)
    client.wait_until(lambda: len(expected(client)) == n_told + 1)
    assert expected(client)[-1]["before"] == "# first\nx = 1"


@pytest.mark.parametrize(
    "where",
    [
        None,
        3,
        [],
        {},
        {"line": 0},
        {"line": "0", "character": 0},
        {"line": -1, "character": 0},
        {"line": 2**31, "character": 0},
    ],
)
def test_what_is_no_position_is_ignored(client, where):
    client.open("odd.py", "x = 1\n")
    n_told = len(expected(client))
    rest(client, "odd.py", position=where)
    rest(client, "odd.py", 0, 5)
    client.wait_until(lambda: len(expected(client)) > n_told)
    assert [told["offset"] for told in expected(client)[n_told:]] == [5]
    assert client.messages("window/showMessage") == []


def test_nothing_is_read_where_nothing_would_be_answered(client):
    client.open("notes.md", "# notes\n", "markdown")
    client.open("own.py", "x = 1\n")
    n_told = len(expected(client))
    rest(client, "notes.md")
    rest(client, "never-opened.py")
    rest(client, "own.py")
    client.wait_until(lambda: len(expected(client)) > n_told)
    assert [told["uri"] for told in expected(client)[n_told:]] == [uri_of("own.py")]


def test_in_a_document_just_opened_its_repository_is_waited_for(tmp_path):
    root = GitRepo(tmp_path / "work").root
    path = root / "pkg" / "a.py"
    with finding_slowly() as client:
        client.open(path.as_uri(), "x = 1\n")
        rest(client, path.as_uri(), 0, 5)
        client.wait_until(lambda: client.inside()["expected"])
        (found,) = expected(client)
        assert (found["repository"], found["path"]) == (str(root), "pkg/a.py")


def test_a_text_that_changed_meanwhile_is_not_read(tmp_path):
    root = GitRepo(tmp_path / "work").root
    uri = (root / "a.py").as_uri()
    with finding_slowly() as client:
        client.open(uri, "x = 1\n")
        rest(client, uri, 0, 5)
        client.edit(uri, (0, 5), (0, 5), "0")
        rest(client, uri, 0, 6)
        client.wait_until(lambda: client.inside()["expected"])
        assert [told["before"] for told in expected(client)] == ["x = 10"]


def test_only_the_document_in_use_is_told_of_once_its_repository_is_found(tmp_path):
    uri = (GitRepo(tmp_path / "work").root / "a.py").as_uri()
    other = (tmp_path / "loose.py").as_uri()
    with finding_slowly() as client:
        client.open(uri, "x = 1\n")
        rest(client, uri, 0, 5)
        client.open(other, "y = 1\n")
        rest(client, other, 0, 1)
        client.wait_until(lambda: client.status()["repositories"] and expected(client))
        assert {told["uri"] for told in expected(client)} == {other}


def test_a_document_that_was_closed_meanwhile_is_not_read(tmp_path):
    root = GitRepo(tmp_path / "work").root
    with finding_slowly() as client:
        for name in ("a.py", "b.py"):
            client.open((root / name).as_uri(), "x = 1\n")
            rest(client, (root / name).as_uri(), 0, 5)
            if name == "a.py":
                client.close_document((root / name).as_uri())
        client.wait_until(lambda: client.inside()["expected"])
        assert {told["path"] for told in expected(client)} == {"b.py"}


def test_without_its_repository_in_time_nothing_is_read(tmp_path):
    uri = (GitRepo(tmp_path / "work").root / "a.py").as_uri()
    with finding_slowly(completion={"deadlineS": 0.1}) as client:
        client.open(uri, "x = 1\n")
        rest(client, uri, 0, 5)
        client.wait_until(lambda: client.status()["root"])
        assert expected(client) == []
