"""A tree that names blobs which are not here, as in a partial clone."""

import pytest

from code2lora_lsp.errors import GitReadFailed
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.recipe import SOURCE_V1
from tests.gitrepo import GitRepo


def lose(repo, path):
    blob = repo.git("rev-parse", f"HEAD:{path}").strip()
    file = repo.git_dir / "objects" / blob[:2] / blob[2:]
    file.chmod(0o644)
    file.unlink()


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "work")
    repo.commit({"a.py": "here = 1\n", "b.py": "there = 2\n", "picture.bin": "0101\n"})
    return repo


def test_a_missing_source_file_fails_the_snapshot_by_name(repo):
    lose(repo, "b.py")
    with pytest.raises(GitReadFailed, match=r"b\.py"):
        Repository.discover(repo.root).snapshot(repo.head, SOURCE_V1)


def test_a_missing_file_the_recipe_does_not_read_is_no_matter(repo):
    lose(repo, "picture.bin")
    files = Repository.discover(repo.root).snapshot(repo.head, SOURCE_V1)
    assert [file.path for file in files] == ["b.py", "a.py"]
