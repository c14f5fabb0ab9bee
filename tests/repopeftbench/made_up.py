"""Items, targets and arms that need no model: what they answer is planted."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from code2lora_lsp.errors import GitReadFailed
from code2lora_lsp.repopeftbench.arms.arm import Answer, Cost, Target
from code2lora_lsp.repopeftbench.items import InRepoSplit, Item, Track
from code2lora_lsp.repopeftbench.runner import Asked


def an_item(number=0, repository="ada/one", **fields):
    item = Item(
        item_id=f"{repository}-{number}", repository=repository, commit_id="c" * 40,
        commit_index=number, in_repo_split=InRepoSplit.TEST, track=Track.KNOWLEDGE,
        kind="attribute", path="a.py", function="", line=number + 1, column=4, prefix="self.",
        target=f"name_{number}", identifier=f"name_{number}",
    )  # fmt: skip
    return replace(item, **fields)


def items_of(repository, n_items=10, **fields):
    return [an_item(number, repository, **fields) for number in range(n_items)]


def a_target(repository="ada/one", commit="d" * 40):
    return Target(repository, Path("nowhere.git"), commit)


def asked(repository="ada/one", n_items=20, *, commit="d" * 40, task="knowledge", **fields):
    return Asked(task, a_target(repository, commit), items_of(repository, n_items, **fields))


def an_answer(text="", nats=2.0, **fields):
    answer = Answer(
        text=text, target_nats=nats, n_target_tokens=2, identifier_nats=nats / 2,
        token_nats=(nats / 2, nats / 2), prompt_tokens=100, seconds=0.25,
    )  # fmt: skip
    return replace(answer, **fields)


A_COST = Cost(1.5, n_commits=3, stored_bytes=1000)


@dataclass
class MadeUpArm:
    """Right on its own repository's items, wrong and dearer on another's."""

    name: str = "made-up"
    missing: str | None = None
    unreadable: frozenset = frozenset()
    cost: Cost = A_COST
    log: list = field(default_factory=list)
    recipe_key: str = ""
    dies_after: int | None = None
    adapters: dict = field(default_factory=dict)

    def why_not(self):
        return self.missing

    def prepare(self, target):
        if target.repository in self.unreadable:
            raise GitReadFailed(f"{target.repository}: object missing")
        self.log.append(("prepare", target.repository))
        return _Prepared(self, target.repository, self.cost, self.adapters.get(target.repository))


@dataclass
class _Prepared:
    arm: MadeUpArm
    donor: str
    cost: Cost
    adapter: object

    def answer(self, items):
        return [self._answer(item) for item in items]

    def _answer(self, item):
        self.arm.log.append((self.donor, item.item_id))
        if self.arm.dies_after is not None:
            self.arm.dies_after -= 1
            if self.arm.dies_after < 0:
                raise KeyboardInterrupt
        own = item.repository == self.donor
        return an_answer(item.target if own else "other", 1.0 if own else 3.0)
