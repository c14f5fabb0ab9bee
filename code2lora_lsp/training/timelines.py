"""A repository's recent commits as training material: embeddings to step on, lines to predict.

What the adapter of commit t is trained on is what the *next* commit adds: the file as it will be is
shown around the gap, the added lines are the middle. Nothing an item asks for has been read yet.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.history.diff import CommitDiff
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.history.secrets import redact
from code2lora_lsp.neural.encoder import TextEncoder, embed_diff, embed_file, pool_snapshot
from code2lora_lsp.recipe import Recipe
from code2lora_lsp.text.fim import PromptBuilder
from code2lora_lsp.text.healing import Healer
from code2lora_lsp.text.tokenizer import Tokenizer

_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(frozen=True)
class Item:
    """One gap to fill.

    Attributes:
        token_ids: prompt followed by the middle and its end.
        n_prompt: tokens of the prompt; only what follows is scored.
    """

    token_ids: tuple[int, ...]
    n_prompt: int


@dataclass(frozen=True)
class Timeline:
    """One repository's consecutive stepped commits.

    Attributes:
        snapshot: e_0 of the tree before the first step, [2E].
        diffs: d_1 … d_T, [T, 2E].
        items: per step, the gaps that the commit after it fills; empty for the last one.
    """

    repository: str
    snapshot: Tensor
    diffs: Tensor
    items: tuple[tuple[Item, ...], ...]


@dataclass(frozen=True)
class TimelinePlan:
    """How much of each repository is read.

    Attributes:
        prompt_tokens, suffix_tokens: budgets of an item's prompt, as in serving but shorter.
        middle_tokens: longest middle, in tokens.
    """

    n_steps: int = 32
    items_per_step: int = 6
    prompt_tokens: int = 192
    suffix_tokens: int = 48
    middle_tokens: int = 48
    seed: int = 3407


@dataclass(frozen=True)
class AddedBlock:
    """Consecutive lines a commit adds to one file; ``first_line`` counts from 0 in the new file."""

    path: str
    first_line: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class TimelineReader:
    """Reads timelines of bare repositories, by one recipe and through one encoder."""

    recipe: Recipe
    plan: TimelinePlan
    encoder: TextEncoder
    tokenizer: Tokenizer

    def read(self, git_dir: Path, name: str) -> Timeline | None:
        """The newest ``plan.n_steps`` steps; ``None`` if there are fewer than 4.

        Raises:
            GitReadFailed, EmbeddingFailed: as in serving; nothing is guessed.
        """
        repository, go_on, recipe = Repository.at_git_dir(git_dir), Cancellation(), self.recipe
        tip, limit = repository.head().commit_id, self.plan.n_steps + 1
        stepped = repository.source_commit_ids(tip, recipe, limit=limit) if tip else []
        if len(stepped) < 5:
            return None
        diffs = list(repository.commit_diffs(stepped[1:], recipe, go_on))
        rng = random.Random(f"{self.plan.seed}/{name}")  # noqa: S311 - not a secret
        items = [tuple(self._items(repository, diff, rng)) for diff in diffs[1:]]
        embeddings = [embed_diff(diff.text, self.encoder, recipe, go_on) for diff in diffs]
        snapshot = self._snapshot(repository, stepped[0])
        return Timeline(name, snapshot, torch.stack(embeddings), (*items, ()))

    def _snapshot(self, repository: Repository, commit_id: str) -> Tensor:
        blob_ids = [file.blob_id for file in repository.snapshot(commit_id, self.recipe)]
        contents = repository.read_blobs(blob_ids)
        texts = (redact(content.decode("utf-8", "replace"))[0] for _, content in contents)
        vectors = [embed_file(text, self.encoder, self.recipe) for text in texts]
        known = [vector for vector in vectors if vector is not None]
        return pool_snapshot(torch.stack(known) if known else torch.zeros(0, self.encoder.width))

    def _items(
        self, repository: Repository, diff: CommitDiff, rng: random.Random
    ) -> Iterator[Item]:
        """Up to ``items_per_step`` gaps out of one commit's added lines."""
        plan = self.plan
        blocks = [block for block in added_blocks(diff.text) if _is_worth_asking(block)]
        chosen = rng.sample(blocks, min(plan.items_per_step, len(blocks)))
        whole_tree = replace(self.recipe, snapshot_max_files=None)
        files = repository.snapshot(diff.commit_id, whole_tree) if chosen else []
        ids = {file.path: file.blob_id for file in files}
        present = [block for block in chosen if block.path in ids]
        contents = repository.read_blobs([ids[block.path] for block in present])
        builder = PromptBuilder(self.tokenizer, "spm", plan.prompt_tokens, plan.suffix_tokens)
        healer = Healer(self.tokenizer)
        for block, (_, content) in zip(present, contents, strict=True):
            text = redact(content.decode("utf-8", "replace").replace("\r\n", "\n"))[0]
            yield _item(block, text, builder, healer, self.tokenizer, plan.middle_tokens, rng)


def _item(
    block: AddedBlock,
    text: str,
    builder: PromptBuilder,
    healer: Healer,
    tokenizer: Tokenizer,
    middle_tokens: int,
    rng: random.Random,
) -> Item:
    """The cursor stands inside a line of the block; the middle is the rest of that line.

    As in serving, what is typed of a word belongs to the middle.
    """
    lines = text.splitlines(keepends=True)
    row = rng.choice([i for i, line in enumerate(block.lines) if line.strip()])
    line = lines[block.first_line + row]
    code_start = len(line) - len(line.lstrip())
    cuts = [i + 1 for i, c in enumerate(line[:-2]) if i >= code_start and c in " .,=([{:"]
    cut = rng.choice([code_start, *cuts])
    before, typed = healer.split("".join(lines[: block.first_line + row]) + line[:cut])
    after = "".join(lines[block.first_line + row :])[len(line.rstrip("\n")) :]
    prompt = builder.build(f"{block.path}:{block.first_line}:{row}:{cut}", before, after)
    middle = tokenizer.encode(typed + line[cut:].rstrip("\n"))[:middle_tokens]
    end = builder.fim.end_of_text
    return Item((*prompt.token_ids, *middle, end), len(prompt.token_ids))


def _is_worth_asking(block: AddedBlock) -> bool:
    return any(len(line.strip()) > 3 for line in block.lines)


def added_blocks(diff_text: str) -> list[AddedBlock]:
    """Runs of added lines in a unified diff, in order."""
    blocks: list[AddedBlock] = []
    path, line_number, run = "", 0, list[str]()
    for row in [*diff_text.split("\n"), ""]:
        if run and not row.startswith("+"):
            blocks.append(AddedBlock(path, line_number - len(run), tuple(run)))
            run = []
        hunk = _HUNK.match(row)
        if hunk:
            line_number = int(hunk[1]) - 1
        elif row.startswith("+++ "):
            path = row[4:].removeprefix("b/").rstrip("\t")
        elif row.startswith("+"):
            run.append(row[1:])
            line_number += 1
        elif row.startswith(" "):
            line_number += 1
    return blocks


def pad_items(items: Sequence[Item], pad_id: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets of a batch, each [B, T] int64; unscored targets are −100."""
    width = max(len(item.token_ids) for item in items)
    ids = torch.tensor([[*i.token_ids, *[pad_id] * (width - len(i.token_ids))] for i in items])
    targets = torch.full_like(ids, -100)
    for row, item in enumerate(items):
        end = len(item.token_ids)
        targets[row, item.n_prompt - 1 : end - 1] = ids[row, item.n_prompt : end]
    return ids, targets
