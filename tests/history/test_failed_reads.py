"""A failed git read raises. It never becomes an empty or a shortened diff."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.errors import GitReadFailed
from code2lora_lsp.history.diff import CommitDiff
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.recipe import PUBLISHED_V2, SOURCE_V1
from tests.gitrepo import GitRepo


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    return GitRepo(tmp_path / "repo")


@pytest.fixture
def ids(repo: GitRepo) -> list[str]:
    return [repo.commit("a.py", f"x = {n}\n") for n in range(4)]


def walk(repo: GitRepo, ids: list[str]) -> Iterator[CommitDiff]:
    return Repository.discover(repo.root).commit_diffs(ids, SOURCE_V1, Cancellation())


def loose_object(repo: GitRepo, revision: str) -> Path:
    name = repo.git("rev-parse", revision)
    path = repo.git_dir / "objects" / name[:2] / name[2:]
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    return path


def complete_before_failure(walked: Iterator[CommitDiff]) -> list[str]:
    """Ids of the diffs that came before the error, each of which must be complete."""
    seen: list[CommitDiff] = []
    with pytest.raises(GitReadFailed):
        seen.extend(walked)
    assert all(diff.added_lines == 1 for diff in seen)
    return [diff.commit_id for diff in seen]


@pytest.mark.parametrize("revision", ["{}:a.py", "{}^{{tree}}", "{}"])
@pytest.mark.parametrize("damage", ["missing", "corrupt", "empty"])
def test_a_damaged_object_fails_the_walk(
    repo: GitRepo, ids: list[str], revision: str, damage: str
) -> None:
    path = loose_object(repo, revision.format(ids[2]))
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "empty" else b"\xff" + path.read_bytes()[1:])
    seen = complete_before_failure(walk(repo, ids))
    assert seen == ids[: len(seen)]
    assert len(seen) <= 2


def test_an_unknown_commit_fails_and_names_it(repo: GitRepo, ids: list[str]) -> None:
    unknown = "ab" * 20
    with pytest.raises(GitReadFailed, match=unknown):
        list(walk(repo, [*ids, unknown]))


@pytest.mark.parametrize("how", ["kill -9 $$", "kill -TERM $$", "exit 3", "exit 0"])
def test_a_git_that_dies_half_way_fails_the_walk(
    tmp_path: Path, repo: GitRepo, ids: list[str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A stand-in for git passes on half of what ``diff-tree`` says, then ends."""
    real = shutil.which("git")
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    cut = f'{real} "$@" | head -c 330; {how}'
    fake.write_text(f'#!/bin/sh\ncase "$*" in *diff-tree*) {cut};; *) exec {real} "$@";; esac\n')
    fake.chmod(0o755)
    walked = walk(repo, ids)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    seen = complete_before_failure(walked)
    assert seen == ids[: len(seen)]
    assert len(seen) < len(ids)


def test_every_other_read_fails_loudly_too(repo: GitRepo, ids: list[str]) -> None:
    repository, unknown = Repository.discover(repo.root), "ab" * 20
    reads = [
        lambda: repository.first_parent_ids(unknown),
        lambda: repository.first_parent_count(unknown),
        lambda: repository.nearest_ancestor(unknown, {ids[0]}),
        lambda: repository.is_ancestor(unknown, ids[0]),
        lambda: repository.merge_base(unknown, ids[0]),
        lambda: repository.source_commit_ids(unknown, SOURCE_V1),
        lambda: repository.source_commit_ids(unknown, PUBLISHED_V2),
        lambda: repository.snapshot(unknown, SOURCE_V1),
        lambda: list(repository.read_blobs([unknown])),
        lambda: list(repository.read_blobs([ids[0]])),
        lambda: list(repository.commit_diffs(ids, PUBLISHED_V2, Cancellation())),
    ]
    for read in reads:
        with pytest.raises(GitReadFailed):
            read()


def test_a_vanished_repository_is_a_failed_read(repo: GitRepo, ids: list[str]) -> None:
    repository = Repository.discover(repo.root)
    repo.git_dir.rename(repo.root / "gone")
    with pytest.raises(GitReadFailed):
        repository.head()
    with pytest.raises(GitReadFailed):
        repository.first_parent_ids(ids[-1])


def test_a_blob_missing_from_a_partial_clone_is_not_fetched(
    tmp_path: Path, repo: GitRepo, ids: list[str]
) -> None:
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("clone", "-q", "--filter=blob:none", repo.root.as_uri(), str(tmp_path / "partial"))
    with pytest.raises(GitReadFailed):
        list(walk(GitRepo(tmp_path / "partial"), ids))
