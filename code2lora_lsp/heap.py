"""How the C library keeps memory that was freed."""

import ctypes
import sys

N_ARENAS = 2
"""For all threads. glibc would make eight per core, and each keeps its holes: 60 MB of the server's
peak."""

_M_ARENA_MAX = -8
"""mallopt(3)"""


def keep_few_arenas() -> bool:
    """Ask glibc for few arenas, before threads start; whether it agreed. Elsewhere it is no use."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, N_ARENAS))
