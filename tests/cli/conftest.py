"""One repository, and the commands run in it as a user runs them."""

import os
import subprocess
import sys

import pytest

from tests.gitrepo import GitRepo
from tests.projects import pottery


@pytest.fixture(scope="session")
def repo(tmp_path_factory):
    repo = GitRepo(tmp_path_factory.mktemp("cli") / "project")
    repo.commit(pottery())
    repo.commit("lib.py", "def helper(path):\n    return open(path).read()\n")
    return repo


@pytest.fixture(scope="session")
def run(repo, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def run(*arguments, home=cache, **variables):
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "HOME": str(home), **variables}
        return subprocess.run(
            [sys.executable, "-m", "code2lora_lsp", *map(str, arguments)],
            cwd=repo.root, env=environment, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    return run
