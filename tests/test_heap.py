"""Freed memory goes back to few heaps."""

import subprocess
import sys

import pytest

from code2lora_lsp.heap import N_ARENAS

THREADS = """
import ctypes, sys, tempfile, threading
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
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as told:
    stream = ctypes.c_void_p(libc.fopen(told.name.encode(), b"w"))
    assert libc.malloc_info(0, stream) == 0 and libc.fclose(stream) == 0
    print(told.read().count(b"<heap nr="))  # malloc_info(3): one for each arena
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
    assert arenas("few") == N_ARENAS < arenas("as many as glibc makes")
