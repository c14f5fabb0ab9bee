"""What serving writes at honest cursors, kept on disk: in files the repository's knowledge lacks.

Of a clone's HEAD some files are taken out by a commit in a copy of its own, the server's own path
follows that commit, and every cursor is in a file that was taken out. The copy is deleted again.
"""

import hashlib
import json
import random
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code2lora_lsp.cancellation import Deadline
from code2lora_lsp.config import CompletionSettings, FollowSettings, ModelSettings, Settings
from code2lora_lsp.neural.atomic_file import write_text
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.runtime.choosing import Draft
from code2lora_lsp.runtime.decoding import Decoding
from code2lora_lsp.runtime.drafting import Drafter, Writing
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.model_loading import LoadedModel
from code2lora_lsp.runtime.oneshot import OneShot
from code2lora_lsp.text.fim import PromptBuilder
from code2lora_lsp.text.gap import Gap
from code2lora_lsp.text.gaps import cursor_in_line
from code2lora_lsp.text.source_filters import is_own_source_path, reason_to_drop

HIDDEN_SHARE = 1 / 6
MOST_HIDDEN = 12
_KEPT_BEFORE_CHARS = 20_000
_KEPT_AFTER_CHARS = 4_000
_AS_NOBODY = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")


@dataclass(frozen=True)
class Row:
    """One draft and what stands there.

    Attributes:
        gap: what is around the cursor, cut to what trimming looks at.
        target: the rest of the cursor's line.
    """

    repository: str
    gap: Gap
    target: str
    draft: Draft


@dataclass(frozen=True)
class RowPlan:
    """How rows of one repository are drawn.

    Attributes:
        n_cursors: at most, over all hidden files.
        ledger_tokens: as ``follow.ledgerTokens``.
        backbone: as ``model.backbone``.
    """

    n_cursors: int = 80
    ledger_tokens: int = FollowSettings().ledger_tokens
    backbone: str = "nano"
    seed: str = "confidence"


def collect_rows(model: LoadedModel, clone: Path, plan: RowPlan) -> list[Row]:
    """Rows of the repository in ``clone``, a folder named ``owner+name`` or a git folder in one.

    Raises:
        FollowError, SetupError: it cannot be followed.
    """
    name = repository_of(clone)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "work"
        # Nothing is checked out: a partial clone may lack what is not source.
        command = ["git", "clone", "--quiet", "--shared", "--no-checkout", str(clone), str(root)]
        subprocess.run(command, check=True)
        texts = _hide_files(root, f"{plan.seed} {name}")
        settings = Settings(
            model=ModelSettings(backbone=plan.backbone),
            follow=FollowSettings(state_dir=f"{folder}/states", ledger_tokens=plan.ledger_tokens),
        )
        with OneShot(settings) as serving:
            serving.wait_ready()
            serving.follow(root)
            knowledge = serving.knowledge(root)
    return list(_written(model, name, knowledge, _cursors(texts, plan, name)))


def repository_of(clone: Path) -> str:
    """``owner/name`` of a clone's folder."""
    named = clone if "+" in clone.name else clone.parent
    return named.name.replace("+", "/", 1)


def _hide_files(root: Path, seed: str) -> dict[str, str]:
    """Take some files out of HEAD's tree by a commit; path → text of those."""
    listed = _git(root, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
    texts = {path: _text(root, path) for path in listed if is_own_source_path(path)}
    good = [p for p, t in texts.items() if t and "\r" not in t and reason_to_drop(t) is None]
    good.sort(key=lambda path: hashlib.sha256(f"{seed} {path}".encode()).digest())
    hidden = good[: max(2, min(MOST_HIDDEN, int(len(good) * HIDDEN_SHARE)))]
    _git(root, "read-tree", "HEAD")
    _git(root, "rm", "--quiet", "--cached", "--", *hidden)
    _git(root, "commit", "--quiet", "--no-verify", "-m", "without the files that are asked about")
    return {path: texts[path] for path in hidden}


def _text(root: Path, path: str) -> str:
    try:
        return _git(root, "cat-file", "blob", f"HEAD:{path}")
    except (subprocess.CalledProcessError, UnicodeDecodeError):
        return ""


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *_AS_NOBODY, *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout.decode()


def _cursors(texts: dict[str, str], plan: RowPlan, name: str) -> list[tuple[str, Gap, str]]:
    """(path, gap, rest of its line), one cursor in a line at most."""
    rng = random.Random(f"{plan.seed} {name}")  # noqa: S311 - not a secret
    found: list[tuple[str, int, int]] = []
    for path, text in texts.items():
        start = 0
        for line in text.split("\n"):
            end = start + len(line)
            cursor = cursor_in_line(text, start, end, rng) if line.strip() else end
            if text[cursor:end].strip():
                found.append((path, cursor, end))
            start = end + 1
    chosen = sorted(rng.sample(found, min(plan.n_cursors, len(found))))
    return [
        (path, Gap(texts[path][:cursor], texts[path][end:]), texts[path][cursor:end])
        for path, cursor, end in chosen
    ]


def _written(
    model: LoadedModel,
    name: str,
    knowledge: Knowledge | None,
    places: Sequence[tuple[str, Gap, str]],
) -> Iterator[Row]:
    """A draft at each place, as the engine would write it if it never gave up."""
    budget = CompletionSettings()
    session = DecodeSession(model.backbone, budget.prompt_tokens + budget.max_tokens)
    session.bind(knowledge.adapter if knowledge else None)
    decoding = Decoding(model.tokenizer, model.backbone.vocabulary_size)
    prompts = PromptBuilder(
        model.tokenizer, model.order, budget.prompt_tokens, budget.suffix_tokens
    )
    drafter = Drafter(session, model.tokenizer, decoding, budget.max_tokens)
    for path, gap, target in places:
        kept, typed = decoding.healer.split(gap.before)
        prompt = prompts.build(f"{name}/{path}", kept, gap.after, path)
        sharp = knowledge.sharp if knowledge else None
        mixer = sharp.near(prompt.token_ids) if sharp else None
        writing = Writing(
            prompt.token_ids, typed, gap, None, mixer, Deadline(600.0), check=lambda: None
        )
        draft = drafter.first(writing, session.feed(prompt.token_ids, lambda: None).logits)
        before, after = gap.before[-_KEPT_BEFORE_CHARS:], gap.after[:_KEPT_AFTER_CHARS]
        yield Row(name, Gap(before, after), target, draft)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """A JSON line each."""
    write_text(path, "".join(json.dumps(_as_json(row)) + "\n" for row in rows))


def read_rows(path: Path) -> list[Row]:
    """What ``write_rows`` wrote."""
    return [_of_json(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _as_json(row: Row) -> dict[str, Any]:
    draft = row.draft
    return {
        "repository": row.repository,
        "before": row.gap.before,
        "target": row.target,
        "after": row.gap.after,
        "text": draft.text,
        "ends": draft.ends,
        "log_probabilities": draft.log_probabilities,
        "is_cut_short": draft.is_cut_short,
    }


def _of_json(raw: dict[str, Any]) -> Row:
    draft = Draft(
        raw["text"],
        tuple(raw["ends"]),
        tuple(raw["log_probabilities"]),
        is_cut_short=raw["is_cut_short"],
    )
    return Row(raw["repository"], Gap(raw["before"], raw["after"]), raw["target"], draft)
