"""Other suggestions for the same gap, from where the model was unsure which token comes."""

import math
from collections.abc import Sequence

from code2lora_lsp.runtime.choosing import Choice, Chooser
from code2lora_lsp.runtime.decoding import Fork
from code2lora_lsp.runtime.drafting import Drafter, TimeUp, Writing

N_SUGGESTIONS = 3
"""Shown at most, the greedy one included."""

N_TRIED = 5
"""Forks followed at most; some end in a text that is there already."""

LEAST_LOG_P = math.log(0.01)
"""A token below this did not nearly come."""


def alternatives(
    drafter: Drafter,
    chooser: Chooser,
    writing: Writing,
    forks: Sequence[Fork],
    first: Choice | None,
) -> list[Choice]:
    """Suggestions that differ from ``first`` and from one another, the likeliest fork first."""
    found: list[Choice] = []
    seen = {first.text.strip()} if first else set()
    near = [fork for fork in forks if (fork.log_probabilities[-1] or 0.0) >= LEAST_LOG_P]
    for fork in sorted(near, key=lambda one: -one.log_probability)[:N_TRIED]:
        if len(found) + (first is not None) >= N_SUGGESTIONS:
            break
        try:
            draft = drafter.another(writing, fork)
        except TimeUp:
            break
        choice = chooser.choose(draft, writing.gap, is_asked_for=True)
        if isinstance(choice, Choice) and choice.text.strip() not in seen:
            seen.add(choice.text.strip())
            found.append(choice)
    return found
