"""The ledger's part of a backbone: population statistics on disk, and a follower made of them."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.neural.code2lora.checkpoint import file_sha256
from code2lora_lsp.neural.ledger.population import Population, load_population
from code2lora_lsp.neural.ledger.readout import ReadoutPlan
from code2lora_lsp.neural.ledger.site import LedgerBackbone
from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.neural.sharp.shelf import Shelf
from code2lora_lsp.neural.sharp.table import NgramTable
from code2lora_lsp.runtime.block_writer import BlockWriter
from code2lora_lsp.runtime.knowledge import Sharp
from code2lora_lsp.runtime.ledger_export import at_rank
from code2lora_lsp.runtime.ledger_follower import LedgerFollower
from code2lora_lsp.runtime.ledger_reader import LedgerReader, Readable
from code2lora_lsp.runtime.ledger_state import LedgerShape, LedgerStates
from code2lora_lsp.runtime.ledger_writer import LedgerWriter, writer_fingerprint
from code2lora_lsp.runtime.state_store import StateStore
from code2lora_lsp.runtime.tree_texts import TREE_RECIPE, TreeTexts
from code2lora_lsp.text.tokenizer import Tokenizer

FORMAT = "code2lora-ledger-1"
POPULATION = "population.safetensors"

MOST_TABLE_TOKENS = 4_000_000
"""Counted by the sharp memory; about 100 MB. Of a larger tree a share is."""


def no_sharp(_table: NgramTable, _shelf: Shelf) -> Sharp | None:
    """Where no gate ships, nothing is mixed in."""
    return None


@dataclass(frozen=True)
class LedgerModels:
    """What a ledger is written and read out with; satisfies ``follower.Following``.

    Attributes:
        make_tokenizer: the backbone's; one per thread.
        tokenizer_id: changes with it.
        plan: how strongly sums are believed.
        most_tokens: of one tree, written into its ledger.
        sharpen: a table and its blocks → a sharp memory.
    """

    decoder: LedgerBackbone
    make_tokenizer: Callable[[], Tokenizer]
    tokenizer_id: str
    population: Population
    state_root: Path
    most_tokens: int
    plan: ReadoutPlan = field(default_factory=ReadoutPlan)
    most_table_tokens: int = MOST_TABLE_TOKENS
    sharpen: Callable[[NgramTable, Shelf], Sharp | None] = no_sharp
    check_fits: Callable[[LoraAdapter], None] = lambda _: None
    engine_is_busy: Callable[[], bool] = lambda: False

    @property
    def checkpoint_id(self) -> str:
        return self.population.fingerprint

    @property
    def recipe_id(self) -> str:
        return TREE_RECIPE.recipe_id

    def follower(self, repository: Repository) -> LedgerFollower:
        """See ``follower.Following``."""
        tokenizer, texts = self.make_tokenizer(), TreeTexts(repository)
        writer = LedgerWriter(BlockWriter(self.decoder, tokenizer), self.population.grid)
        readable = Readable(self.decoder, self.population, self.plan, self.sharpen, self.check_fits)
        reader = LedgerReader(readable, writer, texts, tokenizer)
        shape = self._shape(tokenizer)
        states = LedgerStates(self.store(repository.exclude), repository, shape)
        return LedgerFollower(texts, tokenizer, writer, reader, states, shape)

    def apart(self, state_root: Path) -> "LedgerModels":
        """See ``follower.Following``."""
        return replace(self, state_root=state_root)

    def exported(self, adapter: LoraAdapter, rank: int) -> tuple[LoraAdapter, float]:
        """See ``follower.Following``."""
        return at_rank(adapter, self.population, self.plan, rank)

    def store(self, exclude: tuple[str, ...]) -> StateStore:
        """The states of this ledger, written here; excluding paths changes the text."""
        writer = writer_fingerprint(
            self.population.backbone, self.tokenizer_id, self.population.fingerprint,
            f"{self.plan}", f"{self.most_tokens} {self.most_table_tokens}",
            device=self.decoder.device,
        )  # fmt: skip
        return StateStore(
            self.state_root, ledger_key(self.population), f"{writer}-{recipe_key(exclude)}"
        )

    def _shape(self, tokenizer: Tokenizer) -> LedgerShape:
        site = self.decoder.ledger_site
        return LedgerShape(
            site.width, site.inner_width, self.population.grid,
            tokenizer.vocabulary_size, self.tokenizer_id, self.most_tokens, self.most_table_tokens,
        )  # fmt: skip


def ledger_key(population: Population) -> str:
    """Folder of all states of ledgers with this population."""
    return f"ledger-{population.fingerprint}"


def recipe_key(exclude: tuple[str, ...]) -> str:
    """Of the text that is read; ends every folder of states."""
    excluded = hashlib.sha256("\0".join(exclude).encode()).hexdigest()[:8] if exclude else "all"
    return f"{TREE_RECIPE.recipe_id}-{excluded}"


def read_ledger(folder: Path, backbone: str) -> Population:
    """The population statistics in a ledger's folder, after checking manifest and hash.

    Args:
        folder: holds ``manifest.json`` and ``population.safetensors``.
        backbone: fingerprint of the one that is loaded.

    Raises:
        ModelMissing: there is none.
        ModelMismatch: it is damaged, or of another backbone.
    """
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise ModelMissing(
            f"{folder} holds no ledger (manifest.json and {POPULATION}); make one "
            "with `code2lora-lsp calibrate`"
        )
    try:
        facts = json.loads(manifest.read_text(encoding="utf-8"))
        form, made_for = facts["format"], facts["backbone"]["fingerprint"]
        hashes = dict(facts["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelMismatch(f"{manifest} is damaged ({error!r}); copy the folder again") from error
    if form != FORMAT:
        raise ModelMismatch(f"{manifest}: format {form!r} is not {FORMAT!r}")
    if made_for != backbone:
        raise ModelMismatch(
            f"{folder} is for a backbone {made_for}, this one is {backbone}; make one for it with "
            "`code2lora-lsp calibrate`"
        )
    for name, wanted in hashes.items():
        if not (folder / name).is_file():
            raise ModelMissing(f"{folder} lacks {name}; install the package again")
        if file_sha256(folder / name) != wanted:
            raise ModelMismatch(f"{folder / name} differs from its hash; install the package again")
    return load_population(folder / POPULATION, backbone)
