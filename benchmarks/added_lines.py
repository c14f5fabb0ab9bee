"""What a repository's past says of its next lines: lines that commits added, before they came.

    python benchmarks/added_lines.py CLONE … --commits 12

Each clone's newest commits are followed one by one, as the server follows them, from a state that
holds nothing of any. The lines that a commit added are then asked for at the places where they were
written, with what was known at its parent: mean nats per token with nothing, with each part alone,
with what serves, and with what served before the first of the commits. Mostly these are lines of
files that are known, as while editing. Intervals are 95 % bootstraps over repositories, each
counted once.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from code2lora_lsp.config import Settings, models_root
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.neural.sharp.near import NearMemory
from code2lora_lsp.repopeftbench.statistics import cluster_mean
from code2lora_lsp.runtime.follower import Following
from code2lora_lsp.runtime.following import load_following
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.line_scoring import LineScores, LineScoring, PassageScorer
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
    """Of one clone's newest commits, each token counted once; none where no commit has lines."""
    scorer, sums, first = PassageScorer(model), Counter[str](), list[Knowledge]()
    n_tokens = 0

    def score(scoring: LineScoring) -> None:
        nonlocal n_tokens
        before = scoring.unscored.before
        first.append(before)
        asked = scorer.asked(scoring.unscored.passages)
        n_tokens += sum(len(one.wanted) for one in asked)
        for one in asked:  # its prompt stays read from way to way
            for way, known in ways(before, first[0]):
                sums[way] += scorer.nats(one, known, lambda: None)
        # lets the replay go on; its journal is thrown away
        scoring.on_done(scoring.unscored, LineScores(0.0, 0.0, n_tokens))

    replay(Repository.discover(clone), following, score, n_commits, lambda *_: None)
    return {way: nats / n_tokens for way, nats in sums.items()}


def ways(served: Knowledge, first: Knowledge) -> Iterator[tuple[str, Knowledge | None]]:
    """Nothing, parts of what serves, all of it as it was for the first commit, and as it is."""
    sharp = served.sharp
    table = sharp.whole if isinstance(sharp, NearMemory) else sharp
    yield NOTHING, None
    yield "the ledger", replace(served, sharp=None)
    yield "the table", replace(served, adapter=None, sharp=table)
    yield "the table that looks near", replace(served, adapter=None)
    yield "ledger and table", replace(served, sharp=table)
    yield "all, as it was before the first of the commits", first
    yield SERVED, served


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


if __name__ == "__main__":
    main()
