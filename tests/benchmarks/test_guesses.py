"""The benchmark of guesses on a small repository: it counts, and what is said stays the same."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from tests.gitrepo import GitRepo
from tests.projects import module, pottery

ROOT = Path(__file__).parents[2]


def hidden_name():
    """A path that the benchmark hides from what is known."""
    names = (f"pottery/anvil_{number}.py" for number in range(1000))
    return next(name for name in names if hashlib.sha256(name.encode()).digest()[0] % 10 == 0)


def test_guesses_are_counted_in_each_way_and_save_passes(tmp_path):
    repo = GitRepo(tmp_path / "pottery")
    repo.commit({**pottery(), hidden_name(): module("anvil")})
    script = ROOT / "benchmarks" / "guesses.py"
    done = subprocess.run(
        [sys.executable, str(script), str(repo.root), "--gaps", "6", "--ahead", "4"],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    by_hand = {one["guessed from"]: one for one in lines if one["trigger"] == "invoked"}
    assert set(by_hand) == {"none", "prompt 4", "both 4"}
    assert len({one["tokens"] for one in by_hand.values()}) == 1
    assert by_hand["none"]["passes"] == by_hand["none"]["tokens"]
    assert by_hand["both 4"]["passes"] < by_hand["none"]["passes"]
    assert "| invoked | both 4 |" in done.stdout
