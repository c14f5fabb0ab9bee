"""The published recipe against the reference package ``code2lora`` 0.3.3."""

import sysconfig
import warnings
from pathlib import Path

import pytest
from c2l import assertions as reference_assertions
from c2l import git_pipeline as reference

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.history.assertions import assertion_keys, find_assertions
from code2lora_lsp.history.diff import CommitDiff
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.recipe import PUBLISHED_V2
from tests.gitrepo import GitRepo

SOURCE = "".join(f"def f{n}(x):\n    return x + {n}\n\n" for n in range(30))


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    return GitRepo(tmp_path / "repo")


def reference_commits(repo: GitRepo) -> list[reference.KeptCommit]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves pipes open
        return reference.process_repo(repo.root).commits


def kept_diffs(repo: GitRepo) -> list[CommitDiff]:
    repository = Repository.discover(repo.root)
    ids = repository.source_commit_ids(repo.head, PUBLISHED_V2)
    return list(repository.commit_diffs(ids, PUBLISHED_V2, Cancellation()))


def assert_parity(repo: GitRepo) -> list[CommitDiff]:
    expected = reference_commits(repo)
    ours = kept_diffs(repo)
    assert [diff.commit_id for diff in ours] == [commit.sha for commit in expected]
    for diff, commit in zip(ours, expected, strict=True):
        assert diff.text == commit.production_code_diff
    return ours


def check(*lines: str) -> str:
    return "import pytest\n\n\ndef test_x():\n" + "".join(f"    {line}\n" for line in lines)


def test_a_history_of_every_kind_of_change_is_read_alike(repo: GitRepo) -> None:
    repo.commit({"pkg/a.py": SOURCE, "README.md": "# Title\n", "setup.cfg": "[x]\n"})
    repo.commit({"tests/test_a.py": check("assert f(1) == 2"), "pkg/b.py": "x = 1"})
    repo.commit("pkg/a.py", SOURCE.replace("x + 7", "x + 77"))
    repo.commit("docs/index.rst", "Title\n=====\n")
    repo.commit("tests/test_a.py", check("y = 1", "assert f(1) == 2"))
    repo.move("pkg/a.py", "pkg/core/a.py")
    repo.commit({"pkg/b.py": "x = 1\n", "pkg/test_b.py": check("self.assertEqual(f(1), 2)")})
    repo.commit({"pkg/core/a.py": SOURCE.replace("x + 9", "x - 9"), "build/x.py": "x = 1\n"})
    repo.git("update-index", "--chmod=+x", "pkg/b.py")
    repo.commit({"pkg/data.py": b"\0\1\2", "tests/test_a.py": check("assert f(2) == 3")})
    repo.move("tests/test_a.py", "tests/test_c.py")
    repo.commit()
    repo.commit("tests/test_c.py", check("assert f(2) == 3"))
    repo.commit({"pkg/b.py": None, "pkg/data.py": None, "tests/test_c.py": None})
    repo.commit("tests/test_d.py", check("with pytest.raises(ValueError, match='x'):", "    f()"))
    repo.commit({"tests/broken_test.py": "def (:\n", "pkg/e.py": ""})
    repo.commit("tests/broken_test.py", check("assert_close(a, b)"))
    assert len(assert_parity(repo)) == 6


def test_merges_are_read_along_first_parents(repo: GitRepo) -> None:
    repo.commit({"a.py": "x = 1\n", "test_a.py": check("assert x")})
    repo.branch("side")
    repo.commit({"b.py": "y = 1\n", "test_b.py": check("assert y")})
    repo.commit("b.py", "y = 2\n")
    repo.switch("main")
    repo.commit("a.py", "x = 2\n")
    repo.merge("side")
    assert [diff.n_files for diff in assert_parity(repo)] == [1, 2]


@pytest.mark.parametrize(
    "name", ["a b.py", "x b/y.py", "wörld.py", 'quo"te.py', "tab\t.py", "x b/test b/y.py"]
)
def test_unusual_names_are_read_as_the_reference_reads_them(repo: GitRepo, name: str) -> None:
    repo.commit({name: SOURCE, f"tests/{name}": check("assert 1 == 1")})
    repo.commit({"tests/test_b.py": check("assert 2 == 2"), name: SOURCE + "x = 1\n"})
    repo.move(name, "plain.py")
    repo.commit({"tests/test_b.py": check("assert 3 == 3")})
    assert_parity(repo)


def test_a_user_setting_that_changes_the_reference_does_not_change_us(repo: GitRepo) -> None:
    repo.commit({"a.py": "x = 1\n", "test_a.py": check("assert x"), "wörld.py": "y = 1\n"})
    expected = assert_parity(repo)
    for name, value in (("diff.noprefix", "true"), ("core.quotePath", "false")):
        repo.git("config", name, value)
    repo.git("config", "diff.context", "0")
    assert kept_diffs(repo) == expected


def test_real_secrets_are_the_one_exception_to_parity(repo: GitRepo) -> None:
    token = "ghp_" + "a1B2" * 9
    repo.commit({"a.py": f"T = '{token}'\n", "test_a.py": check("assert T"), ".aws/x.py": "k\n"})
    [diff] = kept_diffs(repo)
    [commit] = reference_commits(repo)
    at = commit.production_code_diff.index("diff --git a/a.py")
    assert diff.text == commit.production_code_diff[at:].replace(token, "REDACTED")
    assert diff.skipped_secret_paths == (".aws/x.py",)


def test_a_new_commit_extends_the_last_scan(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    first = repo.commit({"a.py": "x = 1\n", "test_a.py": check("assert x")})
    repository = Repository.discover(repo.root)
    assert repository.source_commit_ids(first, PUBLISHED_V2) == [first]
    repo.commit("a.py", "x = 2\n")
    second = repo.commit("test_a.py", check("assert x", "assert not x"))
    asked: list[tuple[str, ...]] = []
    stream = repository._git.stream
    monkeypatch.setattr(
        repository._git, "stream", lambda *a, **k: asked.append(a) or stream(*a, **k)
    )
    assert repository.source_commit_ids(second, PUBLISHED_V2) == [first, second]
    assert any(f"^{first}" in arguments for arguments in asked)
    [diff] = repository.commit_diffs([second], PUBLISHED_V2, Cancellation())
    assert diff.parent_id == first
    amended = repo.amend("test_a.py", check("assert x"))
    assert repository.source_commit_ids(amended, PUBLISHED_V2) == [first]


def test_snapshots_hold_the_files_of_the_reference(repo: GitRepo) -> None:
    (repo.root / "link.py").symlink_to("a.py")
    repo.git("add", "link.py")
    files = {f"pkg/m{n}.py": "x = 1\n" * (n + 1) for n in range(5)}
    tip = repo.commit(files | {"a.py": SOURCE, "wörld.py": "y\n", "venv/x.py": "z\n", "e.py": ""})
    expected = sorted(reference.ls_tree_py(repo.root, tip), key=lambda row: -row[2])
    ours = Repository.discover(repo.root).snapshot(tip, PUBLISHED_V2)
    assert [(file.blob_id, file.path, file.size_bytes) for file in ours] == expected


def installed_test_files() -> list[Path]:
    """Real files with assertions of all kinds; short ones, as the reference is quadratic."""
    numpy = Path(sysconfig.get_paths()["purelib"]) / "numpy"
    found = (file for file in numpy.glob("*/tests/test_*.py") if file.stat().st_size < 9_000)
    return sorted(found)[:20]


TRICKY = """
class T:
    def test(self):
        assert ünïcode == "ä", "message"
        assert (a
                == [1,
                    2])
        assert a < b < c
        assert not x
        self.assertEqual(a, "ü", "message")
        self.assertTrue(x)
        self.assertRaises(ValueError, f, 1)
        self.assertRaisesRegex(E, "x", f)
        self.assertIn(a)
        self.assertFoo(a, b)
        self.assert_called(1)
        with pytest.raises(ValueError, match="x"): pass
        assert a == pytest.approx(1.0, abs=1e-3, **kw)
        pytest.raises()
        pytest.assert_warns(1, 2)
        np.testing.assert_allclose(a, b, rtol=1)
        assert_equal(a)
        assert_equal(*args)
        assert_()
        m.mock.assert_called_with(1)
        unittest.mock.assert_x(1)
        m.assert_called_once_with(x, y)
        f().assert_thing(1)
        assert x == lambda: 0
        assert f"{x}" == "\\x0c"
\x0c
        assert after_form_feed == 1
"""


@pytest.mark.parametrize("source", [TRICKY, TRICKY.replace("\n", "\r\n"), "", "x = (", "\0"])
def test_assertions_of_a_tricky_file_are_found_alike(source: str) -> None:
    assert_same_assertions(source)


def test_assertions_of_real_files_are_found_alike() -> None:
    files = installed_test_files()
    assert len(files) > 5
    for file in files:
        assert_same_assertions(file.read_text(encoding="utf-8", errors="replace"))


def assert_same_assertions(source: str) -> None:
    expected = reference_assertions.extract_assertions_from_source(source)
    found = find_assertions(source)
    assert [(one.kind, one.target, one.line, one.column) for one in found] == [
        (one.assertion_type, one.target, one.lineno, one.col_offset) for one in expected
    ]
    assert all(one.prefix.endswith(ours.prefix) for one, ours in zip(expected, found, strict=True))
    normal = reference_assertions.normalize_for_id
    keys = {(one.assertion_type, normal(one.prefix), normal(one.target)) for one in expected}
    assert len(assertion_keys(source)) == len(keys)
