import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from code2lora_lsp.cancellation import Cancellation, Cancelled
from code2lora_lsp.history.diff import CommitDiff
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.recipe import SOURCE_V1
from tests.gitrepo import GitRepo


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    return GitRepo(tmp_path / "repo")


def diffs(repo: GitRepo, *ids: str) -> list[CommitDiff]:
    repository = Repository.discover(repo.root)
    return list(repository.commit_diffs(ids, SOURCE_V1, Cancellation()))


def test_a_diff_is_plain_text_with_its_counts(repo: GitRepo) -> None:
    first = repo.commit({"a.py": "x = 1\ny = 2\n", "b.txt": "text\n"})
    second = repo.commit("a.py", "x = 1\ny = 3\nz = 4")
    assert diffs(repo, first, second)[1] == CommitDiff(
        commit_id=second,
        parent_id=first,
        text=(
            "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n"
            "@@ -1,2 +1,3 @@\n x = 1\n-y = 2\n+y = 3\n+z = 4\n\\ No newline at end of file\n"
        ),
        n_files=1,
        added_lines=2,
        removed_lines=1,
        n_redacted=0,
        skipped_secret_paths=(),
    )


def test_the_root_commit_adds_everything(repo: GitRepo) -> None:
    root = repo.commit("a.py", "x = 1\n")
    [diff] = diffs(repo, root)
    assert diff.parent_id is None
    assert "new file mode" in diff.text
    assert "+x = 1" in diff.text


@pytest.mark.parametrize(
    "name",
    ["a b.py", "x b/y.py", 'quo"te.py', "tab\t.py", "line\nbreak.py", "wörld/日本.py", "back\\.py"],
)
def test_unusual_names_are_followed(repo: GitRepo, name: str) -> None:
    added = repo.commit({name: "x = 1\n" * 9})
    repo.move(name, "plain.py")
    renamed = repo.commit({"plain.py": "x = 1\n" * 9 + "y = 2\n"})
    found = diffs(repo, added, renamed)
    assert [diff.n_files for diff in found] == [1, 1]
    assert "rename to plain.py" in found[1].text
    assert found[1].added_lines == 1
    assert Repository.discover(repo.root).source_commit_ids(renamed, SOURCE_V1) == [added, renamed]


def test_renames_deletions_modes_and_binaries_are_part_of_the_text(repo: GitRepo) -> None:
    repo.commit({"a.py": "x = 1\n" * 9, "b.py": "y = 1\n", "c.py": "z = 1\n", "d.py": b"\0\1"})
    repo.move("a.py", "lib/a.py")
    repo.git("update-index", "--chmod=+x", "c.py")
    tip = repo.commit({"b.py": None, "d.py": b"\0\2"})
    [diff] = diffs(repo, tip)
    assert diff.n_files == 4
    for part in ("similarity index 100%", "deleted file mode", "new mode 100755", "Binary files"):
        assert part in diff.text
    assert diff.removed_lines == 1


def test_content_that_looks_like_a_patch_stays_content(repo: GitRepo) -> None:
    commit_like = "0123456789" * 4
    content = f"{commit_like}\ndiff --git a/x.txt b/x.txt\n\rdiff --git a/y b/y\r\n@@ -1 +1 @@\n"
    [diff] = diffs(repo, repo.commit("a.py", content))
    assert diff.n_files == 1
    assert diff.added_lines == 4


def test_bytes_that_are_no_utf8_are_replaced(repo: GitRepo) -> None:
    [diff] = diffs(repo, repo.commit("a.py", b"x = '\xff\xfe'\n"))
    assert "+x = '\ufffd\ufffd'" in diff.text


def test_secret_files_are_named_but_never_read(repo: GitRepo) -> None:
    tip = repo.commit(
        {".env": "KEY=hunter2\n", ".aws/settings.py": "k = 'hunter2'\n", "a.py": "x\n"}
    )
    [diff] = diffs(repo, tip)
    assert diff.skipped_secret_paths == (".aws/settings.py", ".env")
    assert "hunter2" not in diff.text
    moved = repo.commit({".aws/settings.py": None, "settings.py": "k = 'hunter2'\n"})
    assert "hunter2" not in diffs(repo, moved)[0].text


def test_secrets_inside_source_are_redacted(repo: GitRepo) -> None:
    token = "ghp_" + "a1B2" * 9
    [diff] = diffs(repo, repo.commit("a.py", f"TOKEN = '{token}'\n"))
    assert token not in diff.text
    assert diff.n_redacted == 1


def test_a_diff_depends_on_the_commit_and_not_on_the_clone(tmp_path: Path, repo: GitRepo) -> None:
    first = repo.commit({"a.py": "x = 1\n", ".gitattributes": ""})
    second = repo.commit("a.py", "x = 2\n")
    expected = diffs(repo, first, second)
    repo.commit(".gitattributes", "*.py -diff\n")
    repo.git("repack", "-adq")
    repo.git("replace", second, first)
    assert diffs(repo, first, second) == expected
    assert diffs(repo.clone(tmp_path / "clone"), first, second) == expected


HOSTILE_CONFIG = {
    "color.ui": "always",
    "color.diff": "always",
    "core.abbrev": "20",
    "core.attributesFile": "ATTRIBUTES",
    "core.pager": "false",
    "core.quotePath": "true",
    "diff.algorithm": "patience",
    "diff.colorMoved": "zebra",
    "diff.context": "0",
    "diff.custom.textconv": "false",
    "diff.custom.xfuncname": "^x.*$",
    "diff.external": "false",
    "diff.ignoreSubmodules": "all",
    "diff.indentHeuristic": "false",
    "diff.interHunkContext": "50",
    "diff.mnemonicPrefix": "true",
    "diff.noprefix": "true",
    "diff.orderFile": "ORDER",
    "diff.relative": "true",
    "diff.renameLimit": "1",
    "diff.renames": "false",
    "diff.submodule": "log",
    "diff.suppressBlankEmpty": "true",
    "diff.wordRegex": ".",
    "format.pretty": "oneline",
    "log.date": "relative",
    "log.diffMerges": "off",
    "log.follow": "true",
    "log.showRoot": "false",
    "log.showSignature": "true",
}


def test_no_setting_of_the_user_changes_a_byte(
    tmp_path: Path, repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = varied_history(repo)
    expected = diffs(repo, *ids)
    (tmp_path / "attributes").write_text("*.py diff=custom\n")
    (tmp_path / "order").write_text("z*\n")
    places: Mapping[str, str] = {
        "ATTRIBUTES": str(tmp_path / "attributes"),
        "ORDER": str(tmp_path / "order"),
    }
    config = tmp_path / "gitconfig"
    for name, value in HOSTILE_CONFIG.items():
        written = places.get(value, value)
        subprocess.run(["git", "config", "--file", config, name, written], check=True)
        repo.git("config", name, written)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    monkeypatch.setenv("GIT_DIFF_OPTS", "--unified=0")
    monkeypatch.setenv("GIT_PAGER", "false")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert diffs(repo, *ids) == expected
    assert Repository.discover(repo.root).source_commit_ids(ids[-1], SOURCE_V1) == ids


def varied_history(repo: GitRepo) -> list[str]:
    body = "".join(f"def f{n}():\n    return {n}\n\n" for n in range(20))
    ids = [repo.commit({"a.py": body, "z.py": body.upper(), "wörld.py": "x = 1\n"})]
    ids.append(repo.commit("a.py", body.replace("return 3\n", "return 4\n").replace("f15", "g15")))
    repo.move("z.py", "pkg/z.py")
    repo.move("wörld.py", "pkg/wörld.py")
    ids.append(repo.commit("pkg/z.py", body.upper() + "X\n"))
    repo.branch("side")
    repo.commit("b.py", "y = 1\n")
    repo.switch("main")
    ids.append(repo.merge("side"))
    return ids


def test_a_cancelled_walk_stops_between_two_commits(repo: GitRepo) -> None:
    ids = [repo.commit("a.py", f"x = {n}\n") for n in range(4)]
    cancellation = Cancellation()
    walked = Repository.discover(repo.root).commit_diffs(ids, SOURCE_V1, cancellation)
    next(walked)
    cancellation.cancel("shutting down")
    with pytest.raises(Cancelled, match="shutting down"):
        list(walked)


def test_an_abandoned_walk_leaves_no_process_behind(repo: GitRepo) -> None:
    ids = [repo.commit("a.py", f"x = {n}\n") for n in range(4)]
    walked = Repository.discover(repo.root).commit_diffs(ids, SOURCE_V1, Cancellation())
    next(walked)
    walked.close()  # warnings are errors: an open pipe or a zombie would fail the test
