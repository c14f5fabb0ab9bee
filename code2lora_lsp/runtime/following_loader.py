"""Loads what repositories are followed with, once an engine is ready."""

import gc
import logging
import threading
from collections.abc import Callable

from code2lora_lsp.config import Settings
from code2lora_lsp.errors import Code2LoraError, SetupError
from code2lora_lsp.runtime.engine import Engine
from code2lora_lsp.runtime.follower import Following
from code2lora_lsp.runtime.following import chosen, load_following

log = logging.getLogger(__name__)

FOLLOW_OFF = "follow.enabled is off, so completions carry no adapter"
NO_CHECKPOINT = "no checkpoint is set, so completions carry no adapter"


class FollowingLoader:
    """Loads on a thread of its own, which is where it answers; a token says for which engine.

    Args:
        loaded: called with the models, the token and, without models, why there are none.
        failed: called with what went wrong, and the token.
    """

    def __init__(
        self,
        loaded: Callable[[Following | None, object, str], None],
        failed: Callable[[Code2LoraError, object], None],
    ) -> None:
        self._loaded, self._failed = loaded, failed
        self._last: tuple[object, threading.Thread] | None = None

    def has_begun(self, token: object) -> bool:
        """The models of this engine were loaded last, or are being loaded."""
        return self._last is not None and self._last[0] is token

    def begin(self, settings: Settings, engine: Engine, token: object) -> None:
        """Load in the background. The engine must be ready, or nothing is answered."""
        thread = threading.Thread(
            target=self._load, args=(settings, engine, token), name="code2lora-models", daemon=True
        )
        self._last = token, thread
        thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; whether there is none any more."""
        if self._last is None:
            return True
        thread = self._last[1]
        thread.join(timeout_s)
        return not thread.is_alive()

    def _load(self, settings: Settings, engine: Engine, token: object) -> None:
        backbone = engine.decoder
        try:
            if backbone is None:
                return
            if chosen(settings) is None:
                is_off = not settings.follow.enabled
                self._loaded(None, token, FOLLOW_OFF if is_off else NO_CHECKPOINT)
                return
            models = load_following(settings, backbone, lambda: engine.is_busy)
            gc.freeze()  # as in ``Engine``: more libraries are loaded now
        except Code2LoraError as error:
            self._failed(error, token)
            return
        except Exception as error:
            log.exception("the checkpoint could not be loaded")
            self._failed(SetupError(f"the checkpoint could not be loaded: {error!r}"), token)
            return
        self._loaded(models, token, "")
