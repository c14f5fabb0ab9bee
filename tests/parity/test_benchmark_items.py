"""The evolution track against the reference package ``code2lora`` 0.3.3, on made-up histories."""

import random

import pytest
from c2l import git_pipeline as reference

from code2lora_lsp.history.git_process import GitCommand
from code2lora_lsp.history.kept_commits import read_kept_commits
from code2lora_lsp.repopeftbench import parity
from code2lora_lsp.repopeftbench.splits import chronological_splits
from tests.gitrepo import GitRepo

LINES = (
    "assert f(1) == 2",
    "assert ünïcode == 'ä', 'message'",
    "assert x in [\n        1,\n        2,\n    ]",
    "assert not done",
    "self.assertEqual(f(1), {'a': 1}, 'message')",
    "self.assertRaisesRegex(E, 'x', f)",
    "self.assertTrue(x)",
    "with pytest.raises(ValueError, match='x'): f()",
    "assert a == pytest.approx(1.0, abs=1e-3)",
    "np.testing.assert_allclose(a, b)",
    "assert_equal(a)",
    "mock.assert_called_with(1)",
    "x = 1",
)


def write_test_file(rng: random.Random) -> str:
    """A test module with functions inside and outside classes, nested ones, and helpers."""
    parts = ["import pytest\n"]
    for n in range(rng.randint(1, 3)):
        body = "".join(f"    {line}\n" for line in rng.choices(LINES, k=rng.randint(1, 4)))
        name = rng.choice(("test_a", "helper", "check_Test", "setUp"))
        parts.append(f"\ndef {name}{n}():\n    def inner_test(): assert 1 == 1\n{body}")
    body = "".join(f"        {line}\n" for line in rng.choices(LINES, k=3))
    parts.append(f"\nclass TestIt:\n    def test_method(self):\n{body}")
    parts.append("\nassert module_level == 1\n")
    return "".join(parts)


def random_history(repo: GitRepo, rng: random.Random, n_commits: int) -> None:
    """Commits that write, move, break and remove test files, beside ones that only touch code."""
    for n in range(n_commits):
        path = f"tests/test_{rng.randint(0, 3)}.py"
        exists = (repo.root / path).exists()
        action = rng.choice(("write", "write", "write", "move", "remove", "break", "code"))
        if action == "move" and exists:
            repo.move(path, f"tests/sub {n}/test_m.py")
            repo.commit()
        elif action == "remove" and exists:
            repo.commit(path, None)
        elif action == "break":
            repo.commit(path, "def broken(:\n")
        elif action == "code":
            repo.commit("pkg/code.py", f"x = {n}\n")
        else:
            repo.commit({path: write_test_file(rng), f"pkg/m{n}.py": "y = 1\n"})


@pytest.mark.parametrize("seed", range(3))
def test_commits_splits_and_questions_are_those_of_the_reference(tmp_path, seed):
    repo = GitRepo(tmp_path / "repo")
    random_history(repo, random.Random(seed), 14)
    agreement = parity.compare(repo.git_dir)
    assert agreement.differences == []
    assert agreement.n_commits > 3
    assert agreement.n_questions > 30


def test_a_history_read_since_a_commit_has_the_questions_of_the_whole_one(tmp_path):
    repo = GitRepo(tmp_path / "repo")
    random_history(repo, random.Random(7), 16)
    ids = repo.git("rev-list", "--first-parent", "--reverse", "HEAD").split()
    git = GitCommand(repo.git_dir, repo.git_dir)
    whole = list(read_kept_commits(git, repo.head))
    newer = [commit for commit in whole if ids.index(commit.commit_id) > 8]
    assert 0 < len(newer) < len(whole)
    assert list(read_kept_commits(git, repo.head, since=ids[8])) == newer


def test_chronological_splits_are_those_of_the_reference():
    for n in range(400):
        ours = [split.value for split in chronological_splits(n)]
        assert ours == reference.chronological_splits(n)


def test_the_command_counts_what_agrees_and_ends_with_zero(tmp_path, capsys):
    repo = GitRepo(tmp_path / "repo")
    repo.commit({"test_a.py": "def test_a():\n    assert x == 1\n", "a.py": "x = 1\n"})
    assert parity.main([str(repo.root)]) == 0
    assert "1 kept commits, 1 questions, 0 differences" in capsys.readouterr().out


def test_the_command_shows_a_difference_and_ends_with_one(tmp_path, capsys, monkeypatch):
    repo = GitRepo(tmp_path / "repo")
    repo.commit("test_a.py", "def test_a():\n    assert x == 1\n")
    monkeypatch.setattr(parity, "chronological_splits", lambda n: chronological_splits(n + 9)[-n:])
    assert parity.main([str(repo.root)]) == 1
    assert "split test, reference train" in capsys.readouterr().out


def test_without_the_reference_package_the_command_says_so(tmp_path, capsys, monkeypatch):
    def refuse(name):
        raise ImportError(name)

    repo = GitRepo(tmp_path / "repo")
    repo.commit("test_a.py", "def test_a():\n    assert x == 1\n")
    monkeypatch.setattr(parity.importlib, "import_module", refuse)
    assert parity.main([str(repo.root)]) == 2
    assert "not installed" in capsys.readouterr().err
