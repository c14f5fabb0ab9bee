"""Where in a name an arm's nats go: its first token, or those that follow once that is written.

    python benchmarks/name_tokens.py ITEMS ANSWERS backbone ledger sharp … [--model FOLDER]

The first token says which name it is; the rest mostly spells it. Filtered items of the knowledge
tasks that every arm named has answered; intervals are 95 % bootstraps over repositories.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from code2lora_lsp.repopeftbench.arms.arm import Answer
from code2lora_lsp.repopeftbench.item_folder import read_items
from code2lora_lsp.repopeftbench.items import Item, Track
from code2lora_lsp.repopeftbench.results import read_all_answers
from code2lora_lsp.repopeftbench.scored import is_unfiltered
from code2lora_lsp.repopeftbench.scoring import identifier_tokens
from code2lora_lsp.repopeftbench.statistics import cluster_mean
from code2lora_lsp.text.healing import Healer
from code2lora_lsp.text.tokenizer import Tokenizer

HEADER = ("arm", "a name's first token", "its other tokens", "names of repositories")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("items", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument("arms", nargs="+")
    parser.add_argument("--model", type=Path, default=Path("models/nano"))
    arguments = parser.parse_args()
    tokenizer = Tokenizer.from_folder(arguments.model)
    asked: dict[str, dict[str, Answer]] = {arm: {} for arm in arguments.arms}
    for one in read_all_answers(arguments.answers):
        if one.origin.is_own and one.origin.arm in asked:
            asked[one.origin.arm].update(one.answers)
    common = set.intersection(*(set(answers) for answers in asked.values()))
    names = [
        item
        for item in read_items(arguments.items)
        if item.item_id in common and item.track is Track.KNOWLEDGE and not is_unfiltered(item)
    ]
    lines = [HEADER, ("---",) * len(HEADER)]
    lines += [(arm, *cells(names, answers, tokenizer)) for arm, answers in asked.items()]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))


def cells(
    names: Sequence[Item], answers: Mapping[str, Answer], tokenizer: Tokenizer
) -> tuple[str, str, str]:
    """One arm's row."""
    parts = [split_nats(item, answers[item.item_id], tokenizer) for item in names]
    repositories = [item.repository for item in names]
    first, rest = (_cell(values, repositories) for values in zip(*parts, strict=True))
    return first, rest, f"{len(names)} of {len(set(repositories))}"


def split_nats(item: Item, answer: Answer, tokenizer: Tokenizer) -> tuple[float, float]:
    """Nats of the first token that writes of the item's name, and of the others together.

    Raises:
        ValueError: the answer was not asked as serving asks (healed), with this tokenizer.
    """
    healer = Healer(tokenizer)
    _, typed = healer.split(item.prefix)
    written = healer.encode(typed, item.target)
    if len(written) != len(answer.token_nats):
        raise ValueError(
            f"item {item.item_id} was answered with {len(answer.token_nats)} tokens, this "
            f"tokenizer writes {len(written)}; name the --model that answered"
        )
    first, *rest = identifier_tokens(tokenizer, written, item, len(typed))
    return answer.token_nats[first], sum(answer.token_nats[index] for index in rest)


def _cell(values: Sequence[float], repositories: Sequence[str]) -> str:
    found = cluster_mean(values, repositories)
    if found.low is None or found.high is None:
        return f"{found.value:.2f}"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


if __name__ == "__main__":
    main()
