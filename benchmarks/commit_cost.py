"""Commit → published knowledge, early and late in one history: the cost of a commit is flat.

    python benchmarks/commit_cost.py [--commits 1000]

A made-up repository grows by about a hundred tokens a commit; a follower of the embedded model
follows commit 5, the last one, and then one commit of about 600 tokens. JSON lines; seconds, with
what was written.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.config import FollowSettings, Settings, models_root
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.runtime.following import load_following
from code2lora_lsp.runtime.model_loading import load_model
from tests.gitrepo import GitRepo

N_FILES = 40


def function(number: int, n_lines: int = 4) -> str:
    lines = [f"    total_{i} = measure(step_{number}, {i}) + {number * i}" for i in range(n_lines)]
    return "\n".join([f"def step_{number}(inputs):", *lines, f"    return total_0 * {number}\n"])


def commit(repo: GitRepo, number: int, n_lines: int = 4) -> str:
    """Add one function to one of the files."""
    path = f"steps_{number % N_FILES}.py"
    file = repo.root / path
    before = file.read_text(encoding="utf-8") + "\n\n" if file.exists() else ""
    return repo.commit(path, before + function(number, n_lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="code2lora-bench-") as scratch:
        repo = GitRepo(Path(scratch) / "work")
        settings = Settings(follow=FollowSettings(state_dir=str(Path(scratch) / "states")))
        model = load_model(models_root() / "nano", settings.model, lambda *_: None)
        models = load_following(settings, model.backbone, lambda: False)
        assert models is not None
        for number in range(4):
            commit(repo, number)
        follower = models.follower(Repository.discover(repo.root))

        def follow(figure: str) -> None:
            started_s = time.perf_counter()
            for point in follower.run(repo.head, Cancellation(), lambda: None):
                last = point
            known = last.knowledge()
            report(figure, time.perf_counter() - started_s, knowledge=known.knowledge_id)

        follow("tree of commit 4, written anew")
        commit(repo, 4)
        follow("commit 5")
        for number in range(5, arguments.commits - 1):
            commit(repo, number)
        follow(f"tree of commit {arguments.commits - 1}, from the one of commit 5")
        for number in range(3):
            commit(repo, arguments.commits + number)
            follow(f"commit {arguments.commits + number}")
        commit(repo, arguments.commits + 3, n_lines=24)
        follow("a commit of about 600 tokens")
        again = models.follower(Repository.discover(repo.root))
        started_s = time.perf_counter()
        next(iter(again.run(repo.head, Cancellation(), lambda: None))).knowledge()
        report("restart from the stored state", time.perf_counter() - started_s)


def report(figure: str, seconds: float, **more: object) -> None:
    print(json.dumps({"figure": figure, "seconds": round(seconds, 4), **more}), flush=True)


if __name__ == "__main__":
    main()
