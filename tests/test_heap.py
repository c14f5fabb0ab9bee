"""Freed memory goes back to few heaps."""

import subprocess
import sys

import pytest

THREADS = """
import re, sys, threading
from code2lora_lsp.heap import keep_few_arenas
if sys.argv[1] == "few" and not keep_few_arenas():
    sys.exit("not glibc")
ready, done = threading.Barrier(9), threading.Event()
def work():
    kept = [bytes(50_000) for _ in range(20)]
    ready.wait(); done.wait(); kept.clear()
for _ in range(8):
    threading.Thread(target=work).start()
ready.wait()
# every arena but the first begins where a multiple of 64 MB does
maps = open("/proc/self/maps").read().splitlines()
print(sum(int(line.split("-")[0], 16) % 2**26 == 0 for line in maps))
done.set()
"""


def arenas(how):
    command = [sys.executable, "-c", THREADS, how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "not glibc" in done.stderr:
        pytest.skip("another C library")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_threads_share_two_arenas():
    assert arenas("few") <= 1 < arenas("as many as glibc makes")
