"""Published tables as item folders, and back."""

from dataclasses import replace

import pytest

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.repopeftbench.build import build_items
from code2lora_lsp.repopeftbench.build_plan import BuildPlan, Clone
from code2lora_lsp.repopeftbench.identifiers import IdentifierFrequency
from code2lora_lsp.repopeftbench.item_folder import read_items, read_targets
from code2lora_lsp.repopeftbench.items import Item, Track
from code2lora_lsp.repopeftbench.published_format import write_questions
from code2lora_lsp.repopeftbench.published_items import export_questions, main
from tests.gitrepo import GitRepo


@pytest.fixture
def repo(tmp_path) -> GitRepo:
    repo = GitRepo(tmp_path / "clones" / "owner+name")
    for n in range(12):
        source = f"def test_{n}():\n    assert f({n}) == {n}\n    assert g() == 'x{n}'\n"
        repo.commit({f"tests/test_{n % 3}.py": source, "pkg.py": f"x = {n}\n" * 3})
    return repo


def build(repo: GitRepo, output, task: str) -> list[Item]:
    clone, table = Clone("owner/name", repo.git_dir), IdentifierFrequency(9, {})
    build_items([clone], output, frequency=table, encode=str.split, plan=BuildPlan(tasks=(task,)))
    return read_items(output)


def test_an_exported_track_comes_back_as_the_same_questions_of_the_same_states(repo, tmp_path):
    built = build(repo, tmp_path / "built", "evolution")
    main(["export", str(tmp_path / "built"), str(tmp_path / "q.parquet")])
    clones = str(repo.root.parent)
    main(["import", str(tmp_path / "q.parquet"), clones, str(tmp_path / "back")])
    again = read_items(tmp_path / "back")
    assert [item.item_id for item in again] == [item.item_id for item in built]
    assert [(i.prefix, i.target) for i in again] == [(i.prefix, i.target) for i in built]
    targets, expected = read_targets(tmp_path / "back"), read_targets(tmp_path / "built")
    assert [one.target for one in targets] == [one.target for one in expected]
    assert all(one.target.hidden_paths for one in targets)


def test_only_the_splits_asked_for_are_taken(repo, tmp_path):
    built = build(repo, tmp_path / "built", "static")
    export_questions(tmp_path / "built", tmp_path / "q.parquet")
    clones = str(repo.root.parent)
    common = [str(tmp_path / "q.parquet"), clones, str(tmp_path / "back"), "--track", "static"]
    main(["import", *common, "--splits", "train,val"])
    found = {item.item_id for item in read_items(tmp_path / "back")}
    assert found == {item.item_id for item in built if item.in_repo_split.value != "test"}
    assert {item.track for item in read_items(tmp_path / "back")} == {Track.STATIC}


def test_a_repository_without_a_clone_is_named_and_never_looked_for_elsewhere(repo, tmp_path):
    items = build(repo, tmp_path / "built", "evolution")

    foreign = [replace(items[0], repository=name) for name in ("no/clone", "a/../../etc")]
    write_questions(
        tmp_path / "q.parquet", [*items, *foreign],
        dict.fromkeys(("owner/name", "no/clone", "a/../../etc"), "cr_test"),
    )  # fmt: skip
    main(["import", str(tmp_path / "q.parquet"), str(repo.root.parent), str(tmp_path / "back")])
    assert {item.repository for item in read_items(tmp_path / "back")} == {"owner/name"}
    write_questions(tmp_path / "f.parquet", foreign, {"no/clone": "train", "a/../../etc": "train"})
    with pytest.raises(SystemExit, match="not of the form owner/name"):
        main(["import", str(tmp_path / "f.parquet"), str(repo.root.parent), str(tmp_path / "x")])


def test_a_folder_without_assertions_is_not_exported(repo, tmp_path):
    build(repo, tmp_path / "built", "static")
    (tmp_path / "built" / "items.jsonl").write_text("")
    with pytest.raises(ConfigError, match="its manifest says"):
        export_questions(tmp_path / "built", tmp_path / "q.parquet")
    assert not (tmp_path / "q.parquet").exists()
