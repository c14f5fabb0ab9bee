"""Work that an engine does while nobody waits for a completion."""

import logging
import threading
import time
from collections.abc import Callable

from code2lora_lsp.cancellation import Cancelled
from code2lora_lsp.runtime.model_loading import LoadedModel

log = logging.getLogger(__name__)

Work = Callable[[LoadedModel, Callable[[], None]], None]
"""Takes the model and a check that raises ``Cancelled``; may then be called again."""

IDLE_AFTER_S = 2.0
"""After an answer the next key stroke is near; work for later waits this long."""

MOST_WORK = 4


class WorkForLater:
    """The newest few pieces of work, done oldest first; what gives way is begun again.

    Args:
        condition: the engine's, whose thread waits for this and for requests at once. ``add`` and
            ``do_oldest`` take it themselves; the others are called with it held.
    """

    def __init__(self, condition: threading.Condition) -> None:
        self._condition = condition
        self._work: tuple[Work, ...] = ()
        self._not_before_s = 0.0

    def add(self, work: Work) -> None:
        """From any thread. Where there are too many, the oldest is left undone."""
        with self._condition:
            self._work = (*self._work, work)[-MOST_WORK:]
            self._condition.notify_all()

    def put_off(self) -> None:
        """A request was answered, so the next one is near."""
        self._not_before_s = time.monotonic() + IDLE_AFTER_S

    def wait_s(self) -> float | None:
        """Seconds until work may begin, not above 0 once it may; ``None`` if there is none."""
        return self._not_before_s - time.monotonic() if self._work else None

    def do_oldest(self, model: LoadedModel, check: Callable[[], None]) -> None:
        """On the engine's thread, once ``wait_s`` says so. What fails is not tried again."""
        work = self._work[0]
        try:
            work(model, check)
        except Cancelled:
            log.debug("work for later gave way to a request")
            return
        except Exception:
            log.exception("work for later failed and is not tried again")
        with self._condition:
            self._work = tuple(left for left in self._work if left is not work)

    def forget(self) -> None:
        """What is left will not be done."""
        self._work = ()
