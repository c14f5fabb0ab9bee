"""What a repository is followed with: the ledger, the paper's hypernetwork, or nothing."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from code2lora_lsp.config import Settings, state_root
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.neural.backbone import Backbone
from code2lora_lsp.neural.sharp.gate import load_gate
from code2lora_lsp.neural.sharp.near import sharpened
from code2lora_lsp.neural.sharp.shelf import Shelf
from code2lora_lsp.neural.sharp.table import NgramTable
from code2lora_lsp.runtime.follower import Following
from code2lora_lsp.runtime.knowledge import Sharp
from code2lora_lsp.runtime.ledger_folders import MANIFEST, gate_files, ledger_folder
from code2lora_lsp.runtime.ledger_models import (
    LedgerModels,
    ledger_key,
    no_sharp,
    read_ledger,
    recipe_key,
)
from code2lora_lsp.runtime.ledger_state import KIND
from code2lora_lsp.runtime.model_folders import (
    backbone_fingerprint,
    backbone_folder,
    checkpoint_folder,
)
from code2lora_lsp.runtime.models import StoredProgress, describe_checkpoint, load_follow_models
from code2lora_lsp.runtime.models import stored_progress as stored_fold
from code2lora_lsp.runtime.state_store import StateStore
from code2lora_lsp.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Choice:
    """What the settings name: a kind, and the folder of its weights or statistics."""

    kind: Literal["ledger", "code2lora"]
    folder: Path


def chosen(settings: Settings) -> Choice | None:
    """What repositories are followed with; ``None`` where they are not.

    Raises:
        ModelMissing: the backbone is no model.
    """
    model = settings.model
    if model.checkpoint == "off" or not settings.follow.enabled:
        return None
    ledger = Choice("ledger", ledger_folder(backbone_folder(settings)))
    if model.hypernetwork == "ledger":
        return ledger
    is_open = model.hypernetwork == "auto" and model.checkpoint == "auto"
    if is_open and (ledger.folder / MANIFEST).is_file():
        return ledger
    checkpoint = checkpoint_folder(settings)
    return None if checkpoint is None else Choice("code2lora", checkpoint)


def load_following(
    settings: Settings, backbone: Backbone, is_busy: Callable[[], bool]
) -> Following | None:
    """The models of what was chosen; ``None`` where that is nothing.

    Raises:
        ModelMissing, ModelMismatch: they are not there, damaged, or of another backbone.
    """
    choice = chosen(settings)
    if choice is None:
        return None
    if choice.kind == "code2lora":
        return load_follow_models(settings, backbone, is_busy)
    folder = backbone_folder(settings)
    _ = backbone.ledger_site  # refuses a backbone that a ledger cannot write with
    return LedgerModels(
        decoder=backbone,
        make_tokenizer=lambda: Tokenizer.from_folder(folder),
        tokenizer_id=_tokenizer_id(folder),
        population=read_ledger(choice.folder, backbone_fingerprint(folder)),
        state_root=state_root(settings),
        most_tokens=settings.follow.ledger_tokens,
        sharpen=_sharpener(choice.folder, backbone_fingerprint(folder)),
        check_fits=backbone.check_fits,
        engine_is_busy=is_busy,
    )


def describe(settings: Settings, choice: Choice) -> str:
    """One sentence on what was chosen, after checking that it fits the backbone.

    Raises:
        ModelMissing, ModelMismatch: it does not.
    """
    if choice.kind == "code2lora":
        return describe_checkpoint(settings, choice.folder)
    folder = backbone_folder(settings)
    fingerprint = backbone_fingerprint(folder)
    population = read_ledger(choice.folder, fingerprint)
    gates = [load_gate(path, fingerprint).gate_id for path in gate_files(choice.folder)]
    sharp = " and ".join(f"gate {gate_id}" for gate_id in gates) or "no gate"
    return (
        f"{choice.folder}: ledger, statistics of {population.n_tokens:,} tokens "
        f"({population.fingerprint}) for {folder.name}, {sharp}"
    )


def stored_progress(settings: Settings, folder: Path) -> StoredProgress | str:
    """How much of HEAD is stored, from disk alone; a sentence where that has no answer.

    Raises:
        Code2LoraError: the repository or the models cannot be read.
    """
    choice = chosen(settings)
    if choice is None or choice.kind == "code2lora":
        return stored_fold(settings, folder)
    head = Repository.discover(folder).head().commit_id
    if head is None:
        return "the branch has no commit yet"
    fingerprint = backbone_fingerprint(backbone_folder(settings))
    states = state_root(settings) / ledger_key(read_ledger(choice.folder, fingerprint))
    ours = states.glob(f"*-{recipe_key(settings.follow.exclude)}")
    if any(StateStore(states.parent, states.name, one.name).has(KIND, head) for one in ours):
        return StoredProgress(1, 1, head)
    return (
        "the tree of HEAD is not stored yet: the server reads it when it starts, or from the "
        "nearest one that is; `code2lora-lsp adapt` does it now"
    )


def _sharpener(folder: Path, backbone: str) -> Callable[[NgramTable, Shelf], Sharp | None]:
    """A table and its blocks → their sharp memory; none where no gate ships.

    It looks near where the gate for that ships too.

    Raises:
        ModelMismatch: a gate is damaged, or of another backbone.
    """
    gates = [load_gate(path, backbone) for path in gate_files(folder)]
    return (lambda table, shelf: sharpened(table, shelf, gates)) if gates else no_sharp


def _tokenizer_id(folder: Path) -> str:
    return hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()[:12]
