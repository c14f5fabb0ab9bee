"""Which files are held back."""

from collections import Counter

from code2lora_lsp.repopeftbench.added_lines import AddedLines, AddedLinesPlan
from code2lora_lsp.repopeftbench.hidden_files import HiddenFilePlan, choose_hidden_files
from code2lora_lsp.repopeftbench.identifiers import IdentifierFrequency
from code2lora_lsp.repopeftbench.source_tree import SourceTree, TreeReader
from code2lora_lsp.repopeftbench.tree_facts import TreeFacts
from code2lora_lsp.repopeftbench.windows import Windows
from tests.gitrepo import GitRepo

TABLE = IdentifierFrequency(9, {"value": 9, "self": 9, "return_all": 9})


def source(n: int, uses: str) -> str:
    lines = "".join(f"    step_{n}_{k} = {uses}(value, {k})\n" for k in range(12))
    return f"def made_{n}(value):\n{lines}    return value\n"


def choose(texts: dict[str, str], **plan):
    tree = SourceTree("c" * 40, texts, {path: path for path in texts})
    return choose_hidden_files(tree, "a/b", TreeFacts(), TABLE, HiddenFilePlan(**plan))


def tree(n_files: int = 20) -> dict[str, str]:
    files = {f"pkg/m{n}.py": source(n, f"made_{(n + 1) % n_files}") for n in range(n_files // 2)}
    return files | {
        f"tests/test_m{n}.py": source(n, f"made_{(n + 1) % n_files}")
        for n in range(n_files // 2, n_files)
    }


def test_at_most_the_share_is_hidden_tests_and_production_in_turns():
    hidden = choose(tree())
    assert len(hidden.gaps) == 4
    assert sum(path.startswith("tests/") for path in hidden.gaps) == 2
    assert len(choose(tree(), most_files=3).gaps) == 3
    assert len(choose(tree(), largest_share=0.05).gaps) == 1


def test_known_counts_are_those_of_the_files_that_are_not_hidden():
    texts = tree()
    hidden = choose(texts)
    facts = TreeFacts()
    whole = SourceTree("c" * 40, texts, {path: path for path in texts})
    assert hidden.known == facts.known_counts(whole, hidden.gaps)
    assert hidden.known != facts.known_counts(whole, ())


def test_a_file_with_a_copy_in_the_tree_is_never_hidden():
    texts = {f"a/m{n}.py": source(n, "made_9") for n in range(3)}
    copies = {path.replace("a/", "b/"): text + "\nextra = 1\n" for path, text in texts.items()}
    hidden = choose(texts | copies, largest_share=1.0)
    assert hidden.gaps == {}
    assert hidden.dropped["has a near duplicate in the tree"] == 6


def test_a_file_whose_names_are_nowhere_else_is_not_hidden():
    alone = {f"pkg/m{n}.py": source(n, f"alone_{n}") for n in range(8)}
    hidden = choose(alone, largest_share=1.0)
    assert hidden.gaps == {}
    assert hidden.dropped["asks for nothing rare that other files have"] == 8


def test_vendored_files_are_not_hidden():
    texts = {path.replace("pkg/", "pkg/_vendor/"): text for path, text in tree().items()}
    hidden = choose(texts, largest_share=1.0)
    assert {path.split("/")[0] for path in hidden.gaps} == {"tests"}
    assert hidden.dropped["file: vendored or generated"] == 10


def test_a_moved_file_is_hidden_under_its_old_name_when_its_new_lines_are_asked(tmp_path):
    repo = GitRepo(tmp_path / "repo")
    repo.commit(tree())
    for n in range(3):
        repo.commit("README.md", f"{n}\n")
    repo.move("pkg/m1.py", "pkg/moved.py")
    text = (repo.root / "pkg/moved.py").read_text()
    repo.commit("pkg/moved.py", text + "\n\nlater = made_5(1)\n")
    added = AddedLines(
        "a/b", repo.git_dir, TreeReader(repo.git_dir), TreeFacts(), TABLE, Windows(str.split),
        AddedLinesPlan(newest_share=0.5),
    )  # fmt: skip
    [(target, items)] = added.build(repo.head, Counter())
    assert {item.path for item in items} == {"pkg/moved.py"}
    assert target.hidden_paths == {"pkg/m1.py"}
    assert "made_5(1)" in {item.target for item in items}
