"""Whether a training arm would fit, asked before it starts."""

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")


def free_bytes() -> int | None:
    """Memory the system says a new program could use; ``None`` where it does not say."""
    if not _MEMINFO.is_file():
        return None
    for line in _MEMINFO.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def too_little(needed_bytes: int, what: str) -> str | None:
    """A sentence when ``needed_bytes`` are not there."""
    free = free_bytes()
    if free is None or free >= needed_bytes:
        return None
    return (
        f"{what} needs about {needed_bytes / 2**30:.1f} GiB of memory; "
        f"{free / 2**30:.1f} GiB are free"
    )
