"""The benchmark for a card, run whole on the CPU with a tiny shape."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def run(*arguments):
    script = ROOT / "benchmarks" / "cuda_decode.py"
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_every_way_is_measured_beside_generate_and_the_floor(tmp_path):
    out = tmp_path / "figures.jsonl"
    done = run(
        "--tiny", "--device", "cpu", "--rounds", "2", "--prompt", "90", "--new", "12",
        "--out", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts, *figures = map(json.loads, out.read_text().splitlines())
    assert facts["floor_ms"] > 0
    ways = {figure["way"] for figure in figures}
    assert ways == {
        "generate", "eager", "captured", "eager with adapter", "captured with adapter",
    }  # fmt: skip
    assert len(figures) == 2 * len(ways)
    assert all(figure["prefill_ms"] > 0 for figure in figures)
    tables = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(tables) == len(ways) + 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_says_so_and_how_to_run_it():
    done = run()
    assert done.returncode == 1
    assert "no CUDA card" in done.stderr
    assert "--tiny" in run("--device", "cpu").stderr
