"""A ledger follower over a real repository with a tiny decoder; counts what it writes."""

from functools import cache

import torch

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.ledger.ladder import N_RUNGS
from code2lora_lsp.neural.ledger.population import PopulationSum
from code2lora_lsp.neural.ledger.readout import ReadoutPlan
from code2lora_lsp.runtime.block_writer import BlockWriter
from code2lora_lsp.runtime.ledger_models import LedgerModels
from code2lora_lsp.text.blocks import blocks_of
from tests.fakes import TINY, ByteTokenizer, random_weights

torch.set_num_threads(1)

READ_BY_THE_POPULATION = "def total(prices):\n    return sum(price for price in prices)\n" * 6


class Table:
    """Stands in for a sharp memory: table and shelf themselves, never mixed in."""

    def __init__(self, table, shelf):
        self.table, self.shelf = table, shelf
        self.memory_id, self.size_bytes = table.memory_id, table.size_bytes

    def near(self, in_sight):
        return self

    def mixed(self, log_p, context):
        return log_p


@cache
def tiny_decoder():
    return Decoder(TINY, random_weights(TINY))


@cache
def tiny_population():
    total = PopulationSum(TINY.width, TINY.intermediate_width)
    writer = BlockWriter(tiny_decoder(), ByteTokenizer())
    for block in blocks_of("population.py", READ_BY_THE_POPULATION):
        total.add(writer.writes(block))
    return total.population("tiny")


def tiny_models(states, **changes):
    return LedgerModels(
        **{
            "decoder": tiny_decoder(),
            "make_tokenizer": ByteTokenizer,
            "tokenizer_id": "bytes",
            "population": tiny_population(),
            "state_root": states,
            "most_tokens": 100_000,
            "plan": ReadoutPlan(step=0.05, prior_tokens=200.0),
            "sharpen": Table,
            **changes,
        }
    )


class LedgerFollowing:
    """One follower; every block it writes stands in ``written``."""

    def __init__(self, repo, states, exclude=(), ladder=None, **changes):
        """With a ``ladder``, a tree that is written anew is written under that one."""
        self.repo = repo
        repository = Repository.discover(repo.root, exclude)
        self.models = tiny_models(states, **changes)
        self.follower = self.models.follower(repository)
        if ladder is not None:
            self.follower._planner.first_ladder = ladder
        self.store = self.models.store(repository.exclude)
        self.written = []
        blocks = self.follower._writer._blocks
        write = blocks.writes
        blocks.writes = lambda block, ladder: (self.written.append(block), write(block, ladder))[1]

    def points(self, cancellation=None):
        head = self.repo.head
        cancellation = cancellation or Cancellation()
        plan = self.follower.plan(head, cancellation)
        return list(self.follower.run(plan, cancellation, lambda: None))

    def state(self):
        self.points()
        return self.follower._state

    def knowledge(self):
        return self.points()[-1].knowledge()

    def written_by(self, work):
        """Blocks written while ``work`` ran."""
        before = len(self.written)
        work()
        return self.written[before:]


def assert_same_bits(one, other):
    assert one.statistics.equals(other.statistics)
    assert one.blocks == other.blocks
    assert one.written == other.written
    assert one.table.memory_id == other.table.memory_id
    assert_same_shelf(one.shelf, other.shelf)
    assert one.is_complete
    assert other.is_complete


def assert_same_shelf(one, other):
    assert one.shelf_id == other.shelf_id
    assert one.blocks.keys() == other.blocks.keys()
    for block_id, block in one.blocks.items():
        same = other.blocks[block_id]
        assert (block.path, block.n_times) == (same.path, same.n_times)
        assert [ids.tolist() for ids in block.texts] == [ids.tolist() for ids in same.texts]


def function(name, number):
    return f"def {name}_{number}(items):\n    return [item.{name} + {number} for item in items]\n"


def source(*numbers, name="prices"):
    return "import os\n\n\n" + "\n\n".join(function(name, number) for number in numbers)


def fresh(repo, tmp_path, name="fresh", **changes):
    """The state of HEAD written from nothing."""
    return LedgerFollowing(repo, tmp_path / name, **changes).state()


def assert_is_its_tree(state, repo, tmp_path, name="anew", **changes):
    """The state is that of HEAD written from nothing under the state's ladder, bit for bit."""
    assert state.ladder.height == N_RUNGS
    assert_same_bits(state, fresh(repo, tmp_path, name, ladder=state.ladder, **changes))
