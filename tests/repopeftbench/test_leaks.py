"""What an arm must not read is refused loudly."""

import pytest

from code2lora_lsp.errors import Code2LoraError
from code2lora_lsp.repopeftbench.arms.arm import Target
from code2lora_lsp.repopeftbench.items import InRepoSplit, Item, Track
from code2lora_lsp.repopeftbench.leaks import LeakCheck, LeakFound
from tests.gitrepo import GitRepo

SECRET = "".join(f"def secret_{n}(x):\n    return x + {n}\n\n\n" for n in range(12))
OTHER = "".join(f"def other_{n}(y):\n    return y * {n}\n\n\n" for n in range(12))


@pytest.fixture
def repo(tmp_path) -> GitRepo:
    repo = GitRepo(tmp_path / "repo")
    repo.commit({"pkg/secret.py": SECRET, "pkg/other.py": OTHER})
    return repo


def target(repo: GitRepo, hidden=("pkg/secret.py",)) -> Target:
    return Target("a/b", repo.git_dir, repo.head, frozenset(hidden))


def test_other_files_and_earlier_commits_may_be_read(repo):
    first = repo.head
    repo.commit("pkg/more.py", "x = 1\n")
    check = LeakCheck.of(target(repo))
    check.check_texts([("pkg/other.py", OTHER), ("pkg/more.py", "x = 1\n"), ("empty.py", "")])
    check.check_commits([first, repo.head])


def test_a_hidden_file_is_refused_whatever_its_text(repo):
    with pytest.raises(LeakFound, match=r"'pkg/secret\.py' holds items"):
        LeakCheck.of(target(repo)).check_texts([("pkg/secret.py", "x = 1\n")])


@pytest.mark.parametrize(
    "copy",
    [
        SECRET,
        "# a licence\n" + SECRET.replace("    ", "\t").replace("\n\n", "\n"),
        SECRET + OTHER + OTHER.replace("other", "third"),
        SECRET[: len(SECRET) // 2],
    ],
    ids=["whole", "reformatted", "inside a longer file", "a part"],
)
def test_a_near_duplicate_of_a_hidden_file_is_refused(repo, copy):
    with pytest.raises(LeakFound, match=r"'build/copy\.py' is a near duplicate of 'pkg/secret"):
        LeakCheck.of(target(repo)).check_texts([("build/copy.py", copy)])


def test_a_file_that_shares_less_than_half_may_be_read(repo):
    LeakCheck.of(target(repo)).check_texts([("x.py", SECRET[: len(SECRET) // 4] + OTHER)])


def test_a_later_commit_and_one_of_another_branch_are_refused(repo):
    known = target(repo)
    repo.branch("side")
    later = repo.commit("pkg/more.py", "x = 1\n")
    with pytest.raises(LeakFound, match=f"commit {later[:12]} is later or on another branch"):
        LeakCheck.of(known).check_commits([known.known_commit_id, later])


def test_the_version_that_is_asked_about_is_compared_too(repo):
    known = target(repo, hidden=())
    new = repo.commit("pkg/new.py", SECRET.replace("secret", "fresh"))
    item = Item(
        "id",
        "a/b",
        new,
        1,
        InRepoSplit.TEST,
        Track.KNOWLEDGE,
        "call",
        "pkg/new.py",
        "",
        1,
        0,
        "",
        "",
    )
    text = SECRET.replace("secret", "fresh")
    LeakCheck.of(known).check_texts([("x.py", text)])
    with pytest.raises(LeakFound, match=r"near duplicate of 'pkg/new\.py'"):
        LeakCheck.of(known, [item]).check_texts([("x.py", text)])


def test_items_of_another_commit_are_noticed(repo):
    with pytest.raises(LeakFound, match=r"no source file 'pkg/absent\.py'"):
        LeakCheck.of(target(repo, hidden=("pkg/absent.py",)))


def test_a_leak_is_an_error_of_this_package():
    assert issubclass(LeakFound, Code2LoraError)
