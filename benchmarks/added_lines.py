"""What a repository's past says of its next lines: lines that commits added, before they came.

    python benchmarks/added_lines.py CLONE … --commits 12

Each clone's newest commits are followed one by one, as the server follows them, from a state that
holds nothing of any. The lines that a commit added are then asked for at the places where they were
written, with what was known at its parent: mean nats per token with nothing, with each part alone
and with what serves. Mostly these are lines of files that are known, as while editing. Intervals
are 95 % bootstraps over repositories, each counted once.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from code2lora_lsp.config import Settings, models_root
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.neural.sharp.near import NearMemory
from code2lora_lsp.repopeftbench.statistics import cluster_mean
from code2lora_lsp.runtime.follower import Following
from code2lora_lsp.runtime.following import load_following
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.line_scoring import LineScores, LineScoring, Unscored
from code2lora_lsp.runtime.model_loading import LoadedModel, load_model
from code2lora_lsp.runtime.replay import replay

NOTHING, SERVED = "nothing", "all, as served"
HEADER = ("known", "nats per token", "less nothing", "less what serves")

Nats = Mapping[str, float]
"""What is known, in words → mean nats per token of one repository."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("clones", type=Path, nargs="+")
    parser.add_argument("--commits", type=int, default=12)
    parser.add_argument("--model", type=Path, default=models_root() / "nano")
    arguments = parser.parse_args()
    settings = Settings()
    model = load_model(arguments.model, settings.model, lambda *_: None)
    following = load_following(settings, model.backbone, lambda: False)
    if following is None:
        sys.exit("nothing to follow with: the settings name no checkpoint")
    found = []
    for clone in arguments.clones:
        found.append(nats_of(clone, arguments.commits, model, following))
        cells = (f"{way} {nats:.3f}" for way, nats in found[-1].items())
        print(f"{clone.name}: {', '.join(cells)}", file=sys.stderr)
    print("\n".join(table(found)))


def nats_of(clone: Path, n_commits: int, model: LoadedModel, following: Following) -> Nats:
    """Of one clone's newest commits, each token counted once."""
    found: list[dict[str, LineScores]] = []

    def score(served: LineScoring) -> None:
        scores: dict[str, LineScores] = {}
        unscored = served.unscored
        for way, known in ways(unscored.before):
            asked = replace(unscored, before=known)
            LineScoring(asked, _into(scores, way))(model, lambda: None)
        found.append(scores)
        served(model, lambda: None)

    replay(Repository.discover(clone), following, score, n_commits, lambda *_: None)
    return mean_nats(found)


def ways(served: Knowledge) -> Iterator[tuple[str, Knowledge]]:
    """Parts of what serves, then the whole of it."""
    sharp = served.sharp
    table = sharp.whole if isinstance(sharp, NearMemory) else sharp
    yield "the ledger", replace(served, sharp=None)
    yield "the table", replace(served, adapter=None, sharp=table)
    yield "the table that looks near", replace(served, adapter=None)
    yield "ledger and table", replace(served, sharp=table)
    yield SERVED, served


def mean_nats(commits: Sequence[Mapping[str, LineScores]]) -> Nats:
    """Over the tokens of all commits that have any; nothing's are the same in every way."""
    scored = [scores for scores in commits if scores]
    n_tokens = sum(scores[SERVED].n_tokens for scores in scored)
    sums = {NOTHING: sum(s[SERVED].without_nats * s[SERVED].n_tokens for s in scored)}
    for way in scored[0] if scored else ():
        sums[way] = sum(scores[way].with_nats * scores[way].n_tokens for scores in scored)
    return {way: total / n_tokens for way, total in sums.items() if n_tokens}


def table(found: Sequence[Nats]) -> list[str]:
    """A row for each way, in Markdown; of the repositories that have scored lines."""
    scored = [nats for nats in found if nats]
    lines = [HEADER, ("---",) * len(HEADER)]
    for way in scored[0] if scored else ():
        own = [nats[way] for nats in scored]
        lines.append((way, _cell(own), *(_less(scored, way, than) for than in (NOTHING, SERVED))))
    return [f"| {' | '.join(line)} |" for line in lines]


def _less(scored: Sequence[Nats], way: str, than: str) -> str:
    return "" if way == than else _cell([nats[way] - nats[than] for nats in scored], sign="+")


def _cell(values: Sequence[float], sign: str = "") -> str:
    found = cluster_mean(values, range(len(values)))
    if found.low is None or found.high is None:
        return f"{found.value:{sign}.3f}"
    return f"{found.value:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


def _into(scores: dict[str, LineScores], way: str) -> Callable[[Unscored, LineScores], None]:
    def keep(_: Unscored, found: LineScores) -> None:
        scores[way] = found

    return keep


if __name__ == "__main__":
    main()
