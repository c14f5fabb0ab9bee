"""How long to wait before work that the next key would throw away."""

import threading
import time
from collections.abc import Callable

WARM_TOKENS = 64
"""Some milliseconds of reading; for less there is no waiting."""

LONGEST_GAP_S = 0.15
"""Whoever pauses longer between keys waits for the suggestion."""

LOOK_AGAIN_S = 0.01
"""While pausing: a request that the editor cancels wakes nobody."""

FIRST_GAP_S = 0.1
_SHARE = 0.2


class Pace:
    """Of one user's typing, and of one model's reading.

    In PSM order every key makes the model read the suffix again; in SPM order what was read stays.
    So before a suffix is read, the engine waits until the next key is overdue, less the time that
    reading will take: the suggestion comes no later, and fast typing costs nothing.
    """

    def __init__(self) -> None:
        self._gap_s = FIRST_GAP_S
        self._token_s = 0.0
        self._last_s: float | None = None

    def asked(self, now_s: float) -> None:
        """A request came; pauses that are no typing do not count."""
        if self._last_s is not None and now_s - self._last_s < LONGEST_GAP_S:
            self._gap_s += _SHARE * (now_s - self._last_s - self._gap_s)
        self._last_s = now_s

    def read(self, n_tokens: int, seconds: float) -> None:
        """The model read so many tokens of a prompt; few say little about many."""
        if n_tokens > WARM_TOKENS:
            per_token_s = seconds / n_tokens
            is_first = not self._token_s
            self._token_s += (1.0 if is_first else _SHARE) * (per_token_s - self._token_s)

    def pause_s(self, n_wasted: int) -> float:
        """Seconds to wait, when a key would make ``n_wasted`` tokens of reading useless."""
        if n_wasted <= WARM_TOKENS:
            return 0.0
        return max(0.0, self._gap_s - n_wasted * self._token_s)

    def pause(
        self, n_wasted: int, condition: threading.Condition, check: Callable[[], None]
    ) -> None:
        """Wait ``pause_s``, unless ``check`` raises meanwhile; it is asked when notified, too."""
        until_s = time.monotonic() + self.pause_s(n_wasted)
        while (left_s := until_s - time.monotonic()) > 0:
            check()
            with condition:
                condition.wait(min(left_s, LOOK_AGAIN_S))
