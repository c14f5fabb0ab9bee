"""From a clone to items, targets and a manifest."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.history.kept_commits import is_python_test_file
from code2lora_lsp.repopeftbench.added_lines import AddedLinesPlan
from code2lora_lsp.repopeftbench.build import build_items, main, parse_clone
from code2lora_lsp.repopeftbench.build_plan import BuildPlan, Clone
from code2lora_lsp.repopeftbench.build_repository import evenly
from code2lora_lsp.repopeftbench.identifiers import IdentifierFrequency, identifier_counts
from code2lora_lsp.repopeftbench.item_folder import read_items, read_targets
from code2lora_lsp.repopeftbench.items import InRepoSplit, Item
from code2lora_lsp.repopeftbench.knowledge import KnowledgePlan
from code2lora_lsp.repopeftbench.leaks import LeakCheck, LeakFound
from code2lora_lsp.repopeftbench.source_tree import TreeReader
from tests.gitrepo import GitRepo

FREQUENCY = IdentifierFrequency(100, {"self": 100, "value": 90, "common_name": 3})
N_MODULES = 20


def encode(text: str) -> list[int]:
    """A token per word or sign."""
    return [0] * len(re.findall(r"\w+|\S|\n", text))


def module(n: int) -> str:
    """Defines names, and uses those of the modules around it."""
    near = [(n + step) % N_MODULES for step in (1, 2, 3)]
    imports = "".join(f"from pkg.module_{k} import Maker{k}, build_{k}\n" for k in near)
    body = "".join(
        f"    def method_{n}_{k}(self, value):\n"
        f"        self.part_{n}_{k} = Maker{k}(value).attribute_{k}\n"
        f"        return build_{k}(value, option_{k}={k} + {n}, other=common_name)\n\n"
        for k in near
    )
    return (
        f'"""Module {n}."""\n\n{imports}\n\n'
        f"def build_{n}(value, option_{n}=0, other=None):\n"
        f"    return value + option_{n} * {n}\n\n\n"
        f"class Maker{n}:\n    attribute_{n} = {n}\n\n{body}"
    )


def checks(n: int, extra: int = 0) -> str:
    lines = "".join(f"    assert build_{n}({k}) == {k * n} + {extra}\n" for k in range(10))
    return (
        f"from pkg.module_{n} import build_{n}, Maker{n}\n\n\n"
        f"def test_build_{n}():\n{lines}\n\n"
        f"def test_maker_{n}():\n    made = Maker{n}()\n    assert made.attribute_{n} == {n}\n"
    )


@pytest.fixture(scope="module")
def repo(tmp_path_factory) -> GitRepo:
    """Modules, tests, and thirty commits that add code and assertions."""
    repo = GitRepo(tmp_path_factory.mktemp("clones") / "owner+name")
    tree = {f"pkg/module_{n}.py": module(n) for n in range(N_MODULES)}
    repo.commit(tree | {f"tests/test_{n}.py": checks(n) for n in range(4)})
    for n in range(30):
        k = n % N_MODULES
        added = f"\n\ndef later_{n}(value):\n    return build_{(k + 9) % N_MODULES}(value)\n"
        path = repo.root / f"pkg/module_{k}.py"
        repo.commit({f"pkg/module_{k}.py": path.read_text() + added,
                     f"tests/test_{n % 4}.py": checks(n % 4, n + 1)})  # fmt: skip
    return repo


def plan(**changes) -> BuildPlan:
    added = AddedLinesPlan(newest_share=0.5, n_commits=3)
    return BuildPlan(added_lines=added, n_evolution_commits=2, **changes)


@pytest.fixture(scope="module")
def folder(repo, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("bench")
    clone = Clone("owner/name", repo.git_dir)
    build_items([clone], output, frequency=FREQUENCY, encode=encode, plan=plan())
    return output


def of_task(folder: Path, task: str) -> list[tuple]:
    """(target, items) of one task."""
    items = {item.item_id: item for item in read_items(folder)}
    asked = [one for one in read_targets(folder) if one.task == task]
    return [(one.target, [items[item_id] for item_id in one.item_ids]) for one in asked]


def filtered(items: list[Item]) -> list[Item]:
    return [item for item in items if item.strata["filtered"] == "yes"]


def test_every_item_is_asked_of_exactly_one_target(folder):
    items, targets = read_items(folder), read_targets(folder)
    assert [item.item_id for item in items] == [i for one in targets for i in one.item_ids]
    assert len({item.item_id for item in items}) == len(items)
    assert {one.task for one in targets} == {"knowledge", "added-lines", "evolution", "static"}


def test_each_item_is_the_gap_of_its_file_at_its_commit(folder, repo):
    reader = TreeReader(repo.git_dir)
    for task in ("knowledge", "added-lines"):
        for _, items in of_task(folder, task):
            for item in items:
                text = reader.read(item.commit_id).texts[item.path]
                whole = item.prefix + item.target + item.suffix
                assert whole in text
                line = text.split("\n")[item.line - 1].encode()
                assert (line[item.column :].decode() + "\n").startswith(item.target)


def test_filtered_names_are_elsewhere_in_the_known_tree_and_not_near_the_gap(folder, repo):
    reader = TreeReader(repo.git_dir)
    n_filtered = 0
    for task in ("knowledge", "added-lines"):
        for target, items in of_task(folder, task):
            texts = reader.read(target.known_commit_id).texts
            known: Counter[str] = Counter()
            for path in texts.keys() - target.hidden_paths:
                known.update(identifier_counts(texts[path]))
            for item in filtered(items):
                n_filtered += 1
                name = item.identifier
                assert item.target.startswith(name)
                assert name not in FREQUENCY.repositories
                assert not re.search(rf"\b{name}\b", item.prefix + "\n" + item.suffix)
                times = known[name]
                assert item.strata["seen"] == (
                    "once" if times == 1 else "2-5" if 2 <= times <= 5 else "more"
                )
                assert times > 0
    assert n_filtered > 20


def test_sites_say_whether_the_known_tree_binds_the_name(folder, repo):
    [(target, items)] = of_task(folder, "knowledge")
    texts = TreeReader(repo.git_dir).read(target.known_commit_id).texts
    known = "\n".join(text for path, text in texts.items() if path not in target.hidden_paths)
    sites = Counter(item.strata["site"] for item in items)
    assert sites["defined"] > 5
    assert sites["used"] > 0
    for item in items:
        name = item.identifier
        bound = re.search(rf"(def|class) {name}\b|\b{name} ?=|[(,] ?{name}[,)]", known)
        if item.strata["site"] == "used":
            assert not re.search(rf"(def|class) {name}\b", known)
            assert re.search(rf"\b{name}\b", known)
        elif item.strata["site"] == "absent":
            assert item.strata["seen"] == "never"
        else:
            assert bound


def test_hidden_files_are_tests_and_production_and_few(folder, repo):
    [(target, items)] = of_task(folder, "knowledge")
    texts = TreeReader(repo.git_dir).read(target.known_commit_id).texts
    assert len(target.hidden_paths) <= 0.2 * len(texts)
    assert {is_python_test_file(path) for path in target.hidden_paths} == {True, False}
    assert {item.path for item in items} <= target.hidden_paths
    assert target.known_commit_id == repo.head


def test_prefix_lengths_and_forms_are_what_the_strata_say(folder):
    [(_, items)] = of_task(folder, "knowledge")
    forms = Counter((item.strata["prefix"], item.strata["form"]) for item in items)
    assert len(forms) == 6
    for item in items:
        length = item.strata["prefix"]
        assert len(encode(item.prefix)) <= (2048 if length == "full" else int(length))
        assert bool(item.suffix) == (item.strata["form"] == "fim")


def test_above_says_whether_the_full_window_shows_the_name(folder, repo):
    [(_, items)] = of_task(folder, "knowledge")
    texts = TreeReader(repo.git_dir).read(repo.head).texts
    for item in items:
        lines = texts[item.path].encode().split(b"\n")
        before = b"\n".join([*lines[: item.line - 1], lines[item.line - 1][: item.column]])
        is_above = re.search(rf"\b{item.identifier}\b", before.decode())
        assert item.strata["above"] == ("yes" if is_above else "no")
    assert {item.strata["above"] for item in filtered(items)} == {"yes", "no"}


def test_caps_hold_and_a_slice_is_not_filtered(folder):
    [(_, items)] = of_task(folder, "knowledge")
    assert Counter(item.strata["filtered"] for item in items)["no"] == 40
    names = Counter(item.identifier for item in filtered(items))
    assert max(names.values()) <= 3
    assert {"attribute", "call", "keyword", "import"} <= {item.kind for item in filtered(items)}


def test_added_lines_are_new_in_their_commit_and_known_is_the_parent(folder, repo):
    asked = of_task(folder, "added-lines")
    assert len(asked) == 3
    for target, items in asked:
        for item in items:
            assert repo.git("rev-parse", f"{item.commit_id}^") == target.known_commit_id
            diff = repo.git("show", "--format=", item.commit_id, "--", item.path)
            assert any(row.startswith("+") and item.target in row for row in diff.split("\n"))
            assert item.path in target.hidden_paths


def test_evolution_asks_the_first_eight_of_test_commits_and_knows_their_commit(folder, repo):
    asked = of_task(folder, "evolution")
    assert [len(items) for _, items in asked] == [8, 8]
    for target, items in asked:
        assert {item.in_repo_split for item in items} == {InRepoSplit.TEST}
        assert {item.commit_id for item in items} == {target.known_commit_id}
        assert {item.path for item in items} <= target.hidden_paths


def test_static_hides_every_test_file(folder, repo):
    [(target, items)] = of_task(folder, "static")
    texts = TreeReader(repo.git_dir).read(repo.head).texts
    assert {path for path in texts if is_python_test_file(path)} <= target.hidden_paths
    assert {item.in_repo_split for item in items} == set(InRepoSplit)


def test_what_is_not_hidden_passes_the_leak_check_and_what_is_does_not(folder, repo):
    reader = TreeReader(repo.git_dir)
    for one in read_targets(folder):
        texts = reader.read(one.target.known_commit_id).texts
        hidden = one.target.hidden_paths
        LeakCheck.of(one.target).check_texts([(p, t) for p, t in texts.items() if p not in hidden])
        path = min(hidden)
        with pytest.raises(LeakFound):
            LeakCheck.of(one.target).check_texts([("copy.py", texts[path])])


def test_building_again_gives_the_same_files(folder, repo, tmp_path):
    clone = Clone("owner/name", repo.git_dir)
    build_items([clone], tmp_path, frequency=FREQUENCY, encode=encode, plan=plan())
    assert (tmp_path / "items.jsonl").read_bytes() == (folder / "items.jsonl").read_bytes()
    build_items([clone], tmp_path, frequency=FREQUENCY, encode=encode, plan=plan(seed=1))
    assert (tmp_path / "items.jsonl").read_bytes() != (folder / "items.jsonl").read_bytes()


def test_the_manifest_counts_items_and_what_was_dropped(folder, repo):
    manifest = json.loads((folder / "manifest.json").read_text())
    [row] = manifest["repositories"]
    assert (row["repository"], row["commit"]) == ("owner/name", repo.head)
    assert row["cross_repo_split"] in {"train", "cr_val", "cr_test"}
    assert sum(row["counts"]["knowledge"]["kind"].values()) == len(
        of_task(folder, "knowledge")[0][1]
    )
    assert row["dropped"]["knowledge"]["name near the gap"] > 0
    assert manifest["options"]["training_repositories"] == 100


def test_targets_are_found_where_the_clones_lie_now(folder, repo, tmp_path):
    moved = tmp_path / "owner+name"
    repo.clone(moved)
    targets = read_targets(folder, tmp_path)
    assert {one.target.git_dir for one in targets} == {moved / ".git"}
    with pytest.raises(ConfigError, match="holds no git directory"):
        read_targets(folder, tmp_path / "elsewhere")


def test_a_cut_off_items_file_is_noticed(folder, tmp_path):
    (tmp_path / "manifest.json").write_bytes((folder / "manifest.json").read_bytes())
    lines = (folder / "items.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "items.jsonl").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(ConfigError, match="its manifest says"):
        read_items(tmp_path)


def test_a_clone_that_gives_nothing_is_named_with_its_reason(repo, tmp_path):
    empty = GitRepo(tmp_path / "a+b")
    empty.commit("README.md", "no code\n")
    clones = [Clone("a/b", empty.git_dir), Clone("owner/name", repo.git_dir)]
    found = build_items(
        clones, tmp_path / "out", frequency=FREQUENCY, encode=encode, plan=plan(tasks=("static",))
    )
    assert list(found["refused"]) == ["a/b"]
    assert "no task gave an item" in found["refused"]["a/b"]
    with pytest.raises(ConfigError, match="none of 1 clones gave an item"):
        build_items(clones[:1], tmp_path / "none", frequency=FREQUENCY, encode=encode, plan=plan())


def test_a_task_that_a_partial_clone_cannot_give_is_named_and_the_others_are_built(repo, tmp_path):
    clone = repo.clone(tmp_path / "owner+name")
    old = clone.git("rev-parse", "HEAD~3:tests/test_0.py", "HEAD~3:tests/test_1.py",
                    "HEAD~3:tests/test_2.py", "HEAD~3:tests/test_3.py").split()  # fmt: skip
    kept = clone.git("ls-tree", "-r", "HEAD").split()
    clone.git("unpack-objects", stdin=_pack_of(clone))
    for blob in set(old) - set(kept):
        (clone.git_dir / "objects" / blob[:2] / blob[2:]).unlink()
    found = build_items(
        [Clone("owner/name", clone.git_dir)], tmp_path / "out",
        frequency=FREQUENCY, encode=encode, plan=plan(tasks=("static", "evolution")),
    )  # fmt: skip
    [row] = found["repositories"]
    assert "blob" in row["failed_tasks"]["evolution"]
    assert list(row["counts"]) == ["static"]


def _pack_of(clone: GitRepo) -> bytes:
    """The clone's one pack, moved out of it."""
    [pack] = (clone.git_dir / "objects/pack").glob("*.pack")
    content = pack.read_bytes()
    for file in pack.parent.glob(pack.stem + ".*"):
        file.unlink()
    return content


def test_the_command_builds_and_refuses_reserved_repositories(repo, tmp_path, capsys):
    table = tmp_path / "frequency.json"
    FREQUENCY.write(table)
    common = ["--model", "models/nano", "--frequency", str(table), "--output", str(tmp_path / "o")]
    main([f"some/validated={repo.root}", "--tasks", "static", "--final", *common])
    assert read_targets(tmp_path / "o")[0].target.repository == "some/validated"
    with pytest.raises(SystemExit, match="is reserved for the final report"):
        main([f"e/{reserved_name()}={repo.root}", *common])


def reserved_name() -> str:
    from code2lora_lsp.training.splits import Split, split_of

    return next(f"n{k}" for k in range(99) if split_of(f"e/n{k}") is Split.RESERVED)


def test_histories_that_begin_too_early_are_refused_for_the_ood_split(repo, tmp_path):
    table = tmp_path / "frequency.json"
    FREQUENCY.write(table)
    common = ["--model", "models/nano", "--frequency", str(table), "--output", str(tmp_path / "o")]
    clone = f"owner/name={repo.root}"
    with pytest.raises(SystemExit, match="history begins 2023-11-14, not after 2024-01-01"):
        main([clone, "--final", "--after", "2024-01-01", *common])
    main([clone, "--final", "--after", "2023-11-01", "--tasks", "static", *common])
    assert len(read_items(tmp_path / "o")) > 0


@pytest.mark.parametrize("text", ["nowhere", "a=b", "a/b/c=x"])
def test_a_clone_without_a_name_is_refused(text):
    with pytest.raises(ConfigError, match="does not say whose repository"):
        parse_clone(text)


def test_commits_are_chosen_evenly():
    assert evenly(range(10), 2) == [2, 7]
    assert evenly(range(3), 9) == [0, 1, 2]
    assert evenly([], 3) == []


def test_kinds_share_the_filtered_items_equally(repo, tmp_path):
    small = plan(tasks=("knowledge",), knowledge=KnowledgePlan(n_filtered=8, n_unfiltered=0))
    clone = Clone("owner/name", repo.git_dir)
    build_items([clone], tmp_path, frequency=FREQUENCY, encode=encode, plan=small)
    kinds = Counter(item.kind for item in read_items(tmp_path))
    assert sum(kinds.values()) == 8
    assert max(kinds.values()) <= 2
