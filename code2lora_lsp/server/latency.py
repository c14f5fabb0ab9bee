"""How long this session's answers took, and how much of their prompts was cached."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from code2lora_lsp.runtime.api import Timings

MOST_ANSWERS = 512


@dataclass(frozen=True)
class _Answer:
    seconds: float
    timings: Timings

    @property
    def is_without_model(self) -> bool:
        """Typed through: what was shown before was taken."""
        return self.timings.prompt_tokens == 0

    @property
    def is_cold(self) -> bool:
        return not self.is_without_model and (
            2 * self.timings.reused_tokens < self.timings.prompt_tokens
        )


@dataclass
class Latencies:
    """The last answers with an item. Owned by the event loop."""

    _answers: deque[_Answer] = field(default_factory=lambda: deque(maxlen=MOST_ANSWERS))

    def add(self, seconds: float, timings: Timings) -> None:
        """``seconds`` from the request to the answer."""
        self._answers.append(_Answer(seconds, timings))

    def latency_json(self) -> dict[str, Any]:
        """``latency`` of ``code2lora/history``."""
        seconds = [answer.seconds for answer in self._answers]
        cold = [answer.seconds for answer in self._answers if answer.is_cold]
        return {
            "n": len(seconds),
            "p50Ms": _percentile_ms(seconds, 50),
            "p95Ms": _percentile_ms(seconds, 95),
            "coldN": len(cold),
            "coldP50Ms": _percentile_ms(cold, 50),
            "coldP95Ms": _percentile_ms(cold, 95),
        }

    def cache_json(self) -> dict[str, Any]:
        """``cache`` of ``code2lora/history``."""
        with_model = [one.timings for one in self._answers if not one.is_without_model]
        n_prompt = sum(timings.prompt_tokens for timings in with_model)
        n_reused = sum(timings.reused_tokens for timings in with_model)
        return {
            "asked": len(self._answers),
            "reusedShare": round(n_reused / n_prompt, 4) if n_prompt else None,
            "withoutModel": len(self._answers) - len(with_model),
        }


def _percentile_ms(seconds: Sequence[float], percent: int) -> float | None:
    """By the nearest rank; ``None`` of nothing."""
    if not seconds:
        return None
    rank = -(-len(seconds) * percent // 100)
    return round(1000 * sorted(seconds)[rank - 1], 1)
