"""Rate and rank of the LoRAs that read what the ledger reads, tuned on repositories of one's own.

    python benchmarks/lora_rates.py ITEMS --only gitpython-developers/GitPython,jazzband/pip-tools

Nats per name of filtered items and per token of ordinary ones, less the backbone's: the mean over
repositories for every rate and rank. ``matched_lora.MATCHED_PLAN`` holds the best. Use repositories
that no result is reported on.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

from code2lora_lsp.config import ModelSettings, Settings
from code2lora_lsp.errors import AdapterRejected
from code2lora_lsp.repopeftbench.arms.adapter_arm import Adapting
from code2lora_lsp.repopeftbench.arms.arm import Prepared, Target
from code2lora_lsp.repopeftbench.arms.gradient import TrainingPlan
from code2lora_lsp.repopeftbench.arms.ledger import LedgerPlan, TreeLedger
from code2lora_lsp.repopeftbench.arms.matched_lora import MATCHED_PLAN, MatchedLoraArm
from code2lora_lsp.repopeftbench.arms.plain import BackboneArm
from code2lora_lsp.repopeftbench.item_folder import read_items, read_targets
from code2lora_lsp.repopeftbench.items import Item, Track
from code2lora_lsp.repopeftbench.runner import chosen_items
from code2lora_lsp.repopeftbench.scored import is_unfiltered
from code2lora_lsp.repopeftbench.scoring import Scorer
from code2lora_lsp.runtime.model_folders import backbone_folder
from code2lora_lsp.runtime.model_loading import load_model

Nats = tuple[float, float]
"""Per name of filtered items, per token of ordinary ones."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("items", type=Path)
    parser.add_argument("--only", default="", metavar="A,B", help="of the repositories; all")
    parser.add_argument("--rates", default="0.001,0.003,0.01", metavar="A,B")
    parser.add_argument("--ranks", default="16,64", metavar="A,B")
    parser.add_argument("--everywhere", action="store_true", help="tune matched-lora-7")
    parser.add_argument("--n-items", type=int, default=60, help="of each kind and repository")
    arguments = parser.parse_args()
    asked = list(_asked(arguments.items, arguments.only.split(","), arguments.n_items))
    folder = backbone_folder(Settings())
    scorer = Scorer(load_model(folder, ModelSettings(), lambda *_: None))
    ledger = TreeLedger(scorer.model, folder, None, LedgerPlan())
    backbone = BackboneArm(scorer)
    without = [_nats(backbone.prepare(target), items) for target, items in asked]
    print("| rate | rank | repositories | nats per name | nats per ordinary token |", flush=True)
    print("| --- | --- | --- | --- | --- |", flush=True)
    for plan in _plans(arguments.rates, arguments.ranks):
        lora = MatchedLoraArm(
            ledger, folder, scorer.model.tokenizer, plan, is_everywhere=arguments.everywhere
        )
        print(f"| {plan.learning_rate} | {plan.rank} | {_row(lora, scorer, asked, without)} |",
              flush=True)  # fmt: skip


def _asked(folder: Path, only: Sequence[str], n_items: int) -> Iterator[tuple[Target, list[Item]]]:
    items = {item.item_id: item for item in read_items(folder)}
    for state in read_targets(folder, None):
        if state.task == Track.KNOWLEDGE and (only == [""] or state.target.repository in only):
            of_it = [items[item_id] for item_id in state.item_ids]
            plain = [item for item in of_it if is_unfiltered(item)]
            filtered = [item for item in of_it if not is_unfiltered(item)]
            yield state.target, [*chosen_items(filtered, n_items), *chosen_items(plain, n_items)]


def _plans(rates: str, ranks: str) -> Iterator[TrainingPlan]:
    for rank in map(int, ranks.split(",")):
        for rate in map(float, rates.split(",")):
            yield replace(MATCHED_PLAN, learning_rate=rate, rank=rank, alpha=2.0 * rank)


def _row(
    lora: MatchedLoraArm,
    scorer: Scorer,
    asked: Sequence[tuple[Target, list[Item]]],
    without: Sequence[Nats],
) -> str:
    gains = []
    for (target, items), (name, token) in zip(asked, without, strict=True):
        try:
            found = _nats(Adapting(lora, scorer).prepare(target), items)
        except AdapterRejected as error:
            return f"{len(gains)} | {error} |"
        gains.append((found[0] - name, found[1] - token))
    names, tokens = zip(*gains, strict=True)
    return f"{len(gains)} | {mean(names):+.2f} | {mean(tokens):+.3f}"


def _nats(prepared: Prepared, items: Sequence[Item]) -> Nats:
    names, nats, n_tokens = [], 0.0, 0
    for item, answer in zip(items, prepared.answer(items), strict=True):
        if is_unfiltered(item):
            nats += answer.target_nats
            n_tokens += answer.n_target_tokens
        elif answer.identifier_nats is not None:
            names.append(answer.identifier_nats)
    return mean(names), nats / max(1, n_tokens)


if __name__ == "__main__":
    main()
