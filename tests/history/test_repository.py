import subprocess
from pathlib import Path

import pytest

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.errors import GitReadFailed, NotARepository
from code2lora_lsp.history.repository import Head, Repository
from code2lora_lsp.recipe import PUBLISHED_V2, SOURCE_V1
from tests.gitrepo import GitRepo


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    return GitRepo(tmp_path / "repo")


def opened(repo: GitRepo) -> Repository:
    return Repository.discover(repo.root)


def texts(repository: Repository, ids: list[str]) -> list[str]:
    return [diff.text for diff in repository.commit_diffs(ids, SOURCE_V1, Cancellation())]


def test_a_folder_deep_inside_a_work_tree_finds_its_root(repo: GitRepo) -> None:
    repo.commit("pkg/deep/a.py", "x = 1\n")
    found = Repository.discover(repo.root / "pkg" / "deep")
    assert found.root == repo.root
    assert found.git_dir == found.common_dir == repo.root / ".git"


def test_a_dot_git_that_is_no_git_directory_is_walked_past_as_git_does(repo: GitRepo) -> None:
    repo.commit({"pkg/a.py": "x = 1\n", "lib/a.py": "x = 1\n"})
    (repo.root / "pkg" / ".git").mkdir()
    (repo.root / "lib" / ".git").symlink_to("nowhere")
    for name in ("pkg", "lib"):
        folder = repo.root / name
        toplevel = subprocess.check_output(
            ["git", "rev-parse", "--show-toplevel"], cwd=folder, text=True
        )
        assert Repository.discover(folder).root == Path(toplevel.strip()) == repo.root


def test_folders_we_cannot_follow_are_named_for_what_they_are(
    tmp_path: Path, repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, bare = tmp_path / "plain", GitRepo(tmp_path / "bare.git", bare=True)
    plain.mkdir()
    (plain / "file").write_text("")
    (plain / "broken").mkdir()
    (plain / "broken" / ".git").write_text("gitdir: ../nowhere\n")
    (plain / "empty" / ".git").mkdir(parents=True)
    cases = {
        plain: "no git repository in",
        tmp_path / "missing": "does not exist",
        plain / "file": "is not a folder",
        bare.root: "is a bare repository",
        repo.root / ".git" / "refs": "is a git directory, not a work tree",
        plain / "empty": "no git repository in .*empty/.git is no git directory",
        plain / "broken": "HEAD or objects are missing",
    }
    for folder, seen in cases.items():
        with pytest.raises(NotARepository, match=seen):
            Repository.discover(folder)
    monkeypatch.setenv("PATH", str(plain))
    with pytest.raises(NotARepository, match="git is not on PATH"):
        Repository.discover(repo.root)


def test_an_unknown_repository_format_is_not_followed(repo: GitRepo) -> None:
    repo.git("config", "core.repositoryFormatVersion", "99")
    with pytest.raises(NotARepository, match="cannot be followed"):
        opened(repo)


def test_shapes_are_told_apart(tmp_path: Path, repo: GitRepo) -> None:
    assert opened(repo).shape.head == "unborn"
    assert opened(repo).head() == Head(None, "main")
    repo.commit("a.py", "x = 1\n")
    repo.commit("a.py", "x = 2\n")
    plain = opened(repo).shape
    assert (plain.head, plain.branch) == ("branch", "main")
    assert not any((plain.is_shallow, plain.is_linked_worktree, plain.is_submodule, plain.is_bare))
    assert opened(repo.clone(tmp_path / "shallow", depth=1)).shape.is_shallow
    assert opened(repo.worktree(tmp_path / "tree", "side")).shape.is_linked_worktree
    outer = GitRepo(tmp_path / "outer")
    shape = opened(outer.submodule(repo, "sub")).shape
    assert shape.is_submodule
    assert not shape.is_linked_worktree
    repo.detach()
    assert (opened(repo).shape.head, opened(repo).shape.branch) == ("detached", None)
    assert Repository.at_git_dir(GitRepo(tmp_path / "b.git", bare=True).root).shape.is_bare


def test_head_is_read_from_loose_and_packed_refs_worktrees_and_detached(
    tmp_path: Path, repo: GitRepo
) -> None:
    first = repo.commit("a.py", "x = 1\n")
    repo.branch("feature/deep")
    second = repo.commit("a.py", "x = 2\n")
    tree = repo.worktree(tmp_path / "tree", "side")
    assert opened(repo).head() == Head(second, "feature/deep")
    repo.pack_refs()
    assert not (repo.root / ".git/refs/heads/feature/deep").exists()
    assert opened(repo).head() == Head(second, "feature/deep")
    assert opened(tree).head() == Head(second, "side")
    repo.detach(first)
    assert opened(repo).head() == Head(first, None)


def test_git_is_asked_where_the_files_do_not_say(repo: GitRepo) -> None:
    tip = repo.commit("a.py", "x = 1\n")
    head = repo.root / ".git" / "HEAD"
    head.unlink()
    head.symlink_to("refs/heads/main")
    assert opened(repo).head() == Head(tip, "main")


def test_first_parents_leave_out_merged_branches(repo: GitRepo) -> None:
    base = repo.commit("a.py", "x = 1\n")
    repo.branch("side")
    side = repo.commit("b.py", "y = 1\n")
    repo.switch("main")
    main = repo.commit("a.py", "x = 2\n")
    merge = repo.merge("side")
    repository = opened(repo)
    assert repository.first_parent_ids(merge) == [merge, main, base]
    assert repository.first_parent_ids(merge, 2) == [merge, main]
    assert repository.first_parent_count(merge) == 3
    assert repository.nearest_ancestor(merge, {base, side}) == base
    assert repository.nearest_ancestor(merge, {merge, base}) == merge
    assert repository.nearest_ancestor(main, {side}) is None
    assert repository.is_ancestor(side, merge)
    assert not repository.is_ancestor(side, main)
    assert repository.merge_base(side, main) == base
    assert "+y = 1" in texts(repository, [merge])[0]


def test_only_commits_that_touch_source_are_steps(repo: GitRepo) -> None:
    first = repo.commit("pkg/a.py", "x = 1\n")
    repo.commit("README.md", "text\n")
    repo.commit("build/generated.py", "x = 1\n")
    repo.commit("notes.txt", "x\n")
    repo.commit()
    stub = repo.commit("pkg/a.pyi", "x: int\n")
    repo.move("pkg/a.py", "pkg/a.txt")
    moved_away = repo.commit()
    removed = repo.commit("pkg/a.pyi", None)
    repository = opened(repo)
    steps = [first, stub, moved_away, removed]
    assert repository.source_commit_ids(removed, SOURCE_V1) == steps
    assert repository.source_commit_ids(removed, SOURCE_V1, limit=2) == steps[-2:]
    assert repository.source_commit_ids(removed, SOURCE_V1, limit=0) == []
    assert all(texts(repository, steps))


def test_a_shallow_boundary_has_a_snapshot_but_no_diff(tmp_path: Path, repo: GitRepo) -> None:
    for number in range(4):
        tip = repo.commit("a.py", f"x = {number}\n")
    repository = opened(repo.clone(tmp_path / "shallow", depth=2))
    newer, boundary = repository.first_parent_ids(tip)
    assert repository.shallow_boundary(tip) == boundary
    assert repository.oldest_diffable(tip) == newer
    assert repository.oldest_diffable(boundary) is None
    assert repository.source_commit_ids(tip, SOURCE_V1) == [newer]
    assert [file.path for file in repository.snapshot(boundary, SOURCE_V1)] == ["a.py"]
    assert "-x = 2" in texts(repository, [newer])[0]
    with pytest.raises(GitReadFailed, match=r"boundary of a shallow clone.*--unshallow"):
        texts(repository, [boundary])
    whole = opened(repo)
    assert whole.shallow_boundary(tip) is None
    assert whole.oldest_diffable(tip) == whole.first_parent_ids(tip)[-1]


def test_a_snapshot_is_filtered_and_ordered_by_size_then_path(repo: GitRepo) -> None:
    tip = repo.commit(
        {
            "b.py": "x = 1\n",
            "a.py": "x = 2\n",
            "tests/test_a.py": "assert True\n",
            "venv/lib.py": "x = 3\n" * 9,
            "empty.py": "",
            "README.md": "text\n",
            "secrets/.ssh/config.py": "x = 4\n",
            "wörld \n.py": "y = 10\n",
        }
    )
    repository = opened(repo)
    files = repository.snapshot(tip, SOURCE_V1)
    assert [file.path for file in files] == ["tests/test_a.py", "wörld \n.py", "a.py", "b.py"]
    blobs = dict(repository.read_blobs(file.blob_id for file in files))
    assert blobs[files[1].blob_id] == b"y = 10\n"
    published = [file.path for file in repository.snapshot(tip, PUBLISHED_V2)]
    assert published == ["tests/test_a.py", "a.py", "b.py"]


def test_user_patterns_exclude_files_everywhere(repo: GitRepo) -> None:
    repo.commit({"private/a.py": "x = 1\n", "b.py": "y = 1\n"})
    only_private = repo.commit("private/a.py", "x = 2\n")
    repository = Repository.discover(repo.root, exclude=["/private/"])
    steps = repository.source_commit_ids(only_private, SOURCE_V1)
    assert only_private not in steps
    assert "private" not in texts(repository, steps)[0]
    assert [file.path for file in repository.snapshot(only_private, SOURCE_V1)] == ["b.py"]


def test_sha256_repositories_are_read_too(tmp_path: Path) -> None:
    root = tmp_path / "sha256"
    subprocess.run(["git", "init", "-q", "--object-format=sha256", root], check=True)
    repo = GitRepo(root)
    ids = [repo.commit("a.py", "x = 1\n"), repo.commit("a.py", "x = 2\n")]
    repository = opened(repo)
    assert repository.source_commit_ids(ids[-1], SOURCE_V1) == ids
    assert "-x = 1\n+x = 2\n" in texts(repository, ids)[1]


def test_a_hook_environment_does_not_mislead(
    tmp_path: Path, repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    tip = repo.commit("a.py", "x = 1\n")
    other = GitRepo(tmp_path / "other")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, str(other.git_dir))
    repository = opened(repo)
    assert repository.first_parent_ids(tip) == [tip]
    assert "+x = 1" in texts(repository, [tip])[0]
