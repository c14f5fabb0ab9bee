"""Completions as a person would see them: ``python -m code2lora_lsp.training.examples CORPUS OUT``.

Random cursors of validation files go through the whole product (prompt, decoding, stopping,
trimming) without an adapter; what it would insert is written beside what stands there.
"""

import argparse
import random
from dataclasses import dataclass, replace
from pathlib import Path

from code2lora_lsp.config import Settings
from code2lora_lsp.runtime.api import Completion, CompletionRequest, Trigger
from code2lora_lsp.runtime.oneshot import OneShot
from code2lora_lsp.text.document import DocumentSnapshot
from code2lora_lsp.training.corpus import read_shards
from code2lora_lsp.training.cursors import Cursor, sample_cursors
from code2lora_lsp.training.packing import SourceFile
from code2lora_lsp.training.splits import Split

LINES_ABOVE = 4
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Example:
    """A cursor and what was offered there; "" where nothing was."""

    cursor: Cursor
    offered: str
    reason: str

    def to_markdown(self) -> str:
        """The lines above, the cursor's line with what was offered, and what stands there."""
        above = "\n".join(self.cursor.before.split("\n")[-LINES_ABOVE - 1 :])
        offered = self.offered or f"(nothing: {self.reason or 'empty'})"
        return (
            f"`{self.cursor.repository}` {self.cursor.path}\n\n```python\n{above}⟦{offered}⟧\n```\n"
            f"there: `{self.cursor.target}`\n"
        )


def make_examples(
    corpus: Path, folder: Path | None, count: int, trigger: Trigger, seed: int
) -> list[Example]:
    """``count`` unselected cursors, spread over repositories, completed by the product."""
    files = [SourceFile(*record) for record in read_shards(corpus, Split.VALIDATION)]
    cursors = [c for c in sample_cursors(files, 8, seed) if c.kind == "line"]
    chosen = random.Random(seed).sample(cursors, min(count, len(cursors)))  # noqa: S311 (no secret)
    settings = Settings()
    if folder is not None:
        settings = replace(settings, model=replace(settings.model, backbone=str(folder)))
    with OneShot(settings) as once:
        once.wait_ready()
        return [_example(once, cursor, trigger) for cursor in chosen]


def _example(once: OneShot, cursor: Cursor, trigger: Trigger) -> Example:
    text = cursor.before + cursor.after
    document = DocumentSnapshot(f"file:///{cursor.path}", 0, "python", text)
    request = CompletionRequest(document, len(cursor.before), trigger, path=cursor.path)
    result = once.backend.complete(request).result(timeout=TIMEOUT_S)
    if isinstance(result, Completion):
        return Example(cursor, result.text, "")
    return Example(cursor, "", result.reason.value)


def main() -> None:
    """Parse arguments, complete, write Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--folder", type=Path, help="model folder (default: the embedded one)")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--invoked", action="store_true", help="as when asked for by hand")
    arguments = parser.parse_args()
    trigger = Trigger.INVOKED if arguments.invoked else Trigger.AUTOMATIC
    examples = make_examples(
        arguments.corpus, arguments.folder, arguments.count, trigger, arguments.seed
    )
    arguments.output.write_text(
        "\n".join(example.to_markdown() for example in examples), encoding="utf-8"
    )
    exact = sum(example.offered.strip() == example.cursor.target.strip() for example in examples)
    silent = sum(not example.offered for example in examples)
    print(f"{len(examples)} cursors: {exact} exactly right, {silent} without an offer")


if __name__ == "__main__":
    main()
