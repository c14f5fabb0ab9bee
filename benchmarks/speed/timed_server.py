"""The server, with every handler of its event loop timed; written to $CODE2LORA_LOOP at the end.

The first seconds count apart: starting up imports modules on the loop.
"""

import asyncio
import atexit
import json
import os
import sys
import time
from pathlib import Path

SLOW_S = 0.005
START_S = 5.0

seen = {"count": 0, "slow": 0, "longest_s": 0.0, "longest_cpu_s": 0.0}
slow_at: list[float] = []  # seconds of the day's clock, which the benchmark shares
began_s = time.perf_counter()
run = asyncio.events.Handle._run  # noqa: SLF001 - there is no public way to time them


def timed(handle: asyncio.Handle) -> None:
    started_s, cpu_s = time.perf_counter(), time.thread_time()
    run(handle)
    took_s = time.perf_counter() - started_s
    seen["count"] += 1
    if started_s - began_s > START_S:
        if took_s > SLOW_S:
            seen["slow"] += 1
            slow_at.append(time.time())
        seen["longest_s"] = max(seen["longest_s"], took_s)
        seen["longest_cpu_s"] = max(seen["longest_cpu_s"], time.thread_time() - cpu_s)


asyncio.events.Handle._run = timed  # noqa: SLF001


def leave(code: int) -> None:
    say()
    leave_at_once(code)


def say() -> None:
    Path(os.environ["CODE2LORA_LOOP"]).write_text(json.dumps({**seen, "slow_at": slow_at}))


atexit.register(say)
leave_at_once, os._exit = os._exit, leave  # what the server calls while a thread is still busy

from code2lora_lsp.cli import main  # noqa: E402 - its imports are part of what is timed

sys.exit(main([]))
