"""Engines in processes of their own, asked in the same way: ids in, greedy ids out."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Answer:
    """What one request took, as its asker saw it; seconds."""

    first_s: float
    total_s: float
    tokens: tuple[int, ...]


class Arm(Protocol):
    """One engine."""

    name: str

    def ask(self, ids: list[int], n_new: int, *, is_cold: bool) -> Answer:
        """Greedy tokens behind a prompt; ``is_cold`` forbids what is cached."""

    def cpu_s(self) -> float:
        """CPU seconds used so far."""

    def peak_mb(self) -> float:
        """Most memory that was resident."""

    def close(self) -> None:
        """End its process."""


class Worker:
    """A Python engine of ``worker.py`` in a child process."""

    def __init__(self, name: str, model: Path, threads: int) -> None:
        self.name = name
        script = Path(__file__).with_name("worker.py")
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "PASSIVE",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        self._process = subprocess.Popen(
            [sys.executable, str(script), name, str(model), str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self._read()  # it says when it is ready

    def ask(self, ids: list[int], n_new: int, *, is_cold: bool) -> Answer:
        request = json.dumps({"ids": ids, "n_new": n_new, "is_cold": is_cold})
        started_s = time.perf_counter()
        assert self._process.stdin is not None
        self._process.stdin.write(request + "\n")
        self._process.stdin.flush()
        self._read()
        first_s = time.perf_counter() - started_s
        tokens = tuple(self._read())
        return Answer(first_s, time.perf_counter() - started_s, tokens)

    def cpu_s(self) -> float:
        return cpu_seconds(self._process.pid)

    def peak_mb(self) -> float:
        return peak_megabytes(self._process.pid)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def _read(self) -> list[int]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker {self.name} ended; its error stands above")
        return json.loads(line)  # type: ignore[no-any-return]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process; 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_megabytes(pid: int) -> float:
    """Largest resident size of a process; 0 where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)
