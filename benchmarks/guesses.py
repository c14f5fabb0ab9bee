"""How often guesses of the next tokens come true, on real code with the embedded model.

Usage: python benchmarks/guesses.py CLONE... [--gaps 40] [--ahead 3 7] [--model FOLDER]

Of each repository a tenth of the Python files is hidden from what is known of it. In those, lines
are asked for as an editor does: half of them while typing, from where code begins on the line, half
by hand from within it. Every place is asked in each way:

  none        one token after the other
  prompt N    up to N tokens guessed from the prompt; the repository is mixed in as ever
  both N      from the prompt and from the repository

A suggestion that differs between them ends the run. Prints JSON lines, and a table in the end:
passes are those that decode, *true* are guesses that were then chosen, and ms are of decoding, by
the clock.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from code2lora_lsp.cancellation import Cancellation, Deadline
from code2lora_lsp.config import Settings, models_root
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.neural.mixing import Mixer
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.runtime.api import Completion, CompletionRequest, Trigger
from code2lora_lsp.runtime.completer import Completer
from code2lora_lsp.runtime.following import load_following
from code2lora_lsp.runtime.knowledge import Knowledge, Sharp
from code2lora_lsp.runtime.model_loading import LoadedModel, load_model
from code2lora_lsp.runtime.tree_texts import TreeTexts
from code2lora_lsp.text.document import DocumentSnapshot

ONE_IN = 10
MOST_CHARS = 100_000
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Place:
    """A cursor in a file, with the rest of its line taken away."""

    path: str
    text: str
    offset: int
    trigger: Trigger


@dataclass
class Counts:
    """Of all places of one repository asked in one way."""

    tokens: int = 0
    passes: int = 0
    guesses: int = 0
    guessed: int = 0
    decode_s: float = 0.0

    def row(self) -> list[str]:
        true = self.tokens - self.passes
        return [
            str(self.tokens), str(self.passes), f"{self.guesses / max(self.passes, 1):.0%}",
            str(self.guessed), str(true), f"{true / max(self.guesses, 1):.2f}",
            f"{self.tokens / max(self.passes, 1):.2f}",
            f"{1000 * self.decode_s / max(self.tokens, 1):.2f}",
        ]  # fmt: skip


HEADER = (
    "trigger", "guessed from", "tokens", "passes", "of them with a guess", "guessed",
    "true", "true per guess", "tokens per pass", "ms per token",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clones", type=Path, nargs="+")
    parser.add_argument("--gaps", type=int, default=40, help="places of each repository")
    parser.add_argument("--ahead", type=int, nargs="+", default=[7], help="tokens of one guess")
    parser.add_argument("--model", type=Path, default=models_root() / "nano")
    arguments = parser.parse_args()
    settings = Settings()
    model = load_model(arguments.model, settings.model, lambda *_: None)
    totals: dict[tuple[str, str], Counts] = {}
    for clone in arguments.clones:
        for (trigger, way), counts in measured(model, settings, clone, arguments).items():
            line = {"repository": clone.name, "trigger": trigger, "guessed from": way}
            print(json.dumps({**line, **asdict(counts)}), flush=True)
            total = totals.setdefault((trigger, way), Counts())
            for name, value in asdict(counts).items():
                setattr(total, name, getattr(total, name) + value)
    print("| " + " | ".join(HEADER) + " |\n|" + "---|" * len(HEADER))
    for (trigger, way), counts in totals.items():
        print("| " + " | ".join([trigger, way, *counts.row()]) + " |")


def measured(
    model: LoadedModel, settings: Settings, clone: Path, arguments: argparse.Namespace
) -> dict[tuple[str, str], Counts]:
    """Counts by trigger and way."""
    with tempfile.TemporaryDirectory(prefix="code2lora-bench-") as scratch:
        copy = Path(scratch) / "clone"
        git = ["git", "clone", "--quiet", "--shared", str(clone.resolve()), str(copy)]
        subprocess.run(git, check=True)
        repository = Repository.discover(copy)
        texts = TreeTexts(repository)
        files = texts.after(texts.changes(None, repository.head().commit_id))
        hidden = {path: text for path, text in files.items() if is_hidden(path, text)}
        knowledge = known(model, settings, copy, Path(scratch) / "states", sorted(hidden))
    ways = ["none", *(f"{way} {n}" for n in arguments.ahead for way in ("prompt", "both"))]
    asked = {way: Asked(model, settings, knowledge, way) for way in ways}
    found = {(one.value, way): Counts() for one in Trigger for way in ways}
    chance = random.Random(0)
    for place in places(hidden, arguments.gaps):
        answers = {
            way: asked[way].ask(place, found[place.trigger.value, way])
            for way in chance.sample(ways, len(ways))  # the first one warms the memory's caches
        }
        if any(not alike(answers["none"], answer) for answer in answers.values()):
            sys.exit(f"{place.path} at {place.offset}: guesses changed what is said: {answers}")
    return found


def is_hidden(path: str, text: str) -> bool:
    digest = hashlib.sha256(path.encode()).digest()[0]
    return path.endswith(".py") and digest % ONE_IN == 0 and 500 < len(text) < MOST_CHARS


def known(
    model: LoadedModel, settings: Settings, clone: Path, states: Path, hidden: list[str]
) -> Knowledge:
    """What is known of HEAD without the files that are asked in."""
    exclude = tuple(f"/{path}" for path in hidden)
    follow = replace(settings.follow, exclude=exclude, state_dir=str(states))
    models = load_following(replace(settings, follow=follow), model.backbone, lambda: False)
    assert models is not None
    repository = Repository.discover(clone, exclude)
    head = repository.head().commit_id
    *_, last = models.follower(repository).run(head, Cancellation(), lambda: None)
    return last.knowledge()


def places(files: dict[str, str], count: int) -> Iterator[Place]:
    """Lines of the files in turn, the same ones every time."""
    chance = random.Random(0)
    paths = sorted(files)
    for number in range(count if paths else 0):
        path = paths[number % len(paths)]
        lines = files[path].split("\n")
        with_code = [n for n, line in enumerate(lines) if len(line.strip()) > 12 and n > 3]
        if not with_code:
            continue
        row = chance.choice(with_code)
        line = lines[row]
        column = len(line) - len(line.lstrip())
        is_typed = number % 2 == 0
        if not is_typed:
            column = chance.randrange(column, len(line) - 4)
        before = "\n".join([*lines[:row], line[:column]])
        after = "\n".join(["", *lines[row + 1 :]])
        trigger = Trigger.AUTOMATIC if is_typed else Trigger.INVOKED
        yield Place(path, before + after, len(before), trigger)


class WithoutGuesses:
    """A mixer that is not asked what comes."""

    def __init__(self, mixer: Mixer) -> None:
        self.mixed = mixer.mixed

    def likely(self, _context: object) -> None:
        return None


class NeverGuessing:
    """A memory whose mixers are not asked what comes."""

    def __init__(self, sharp: Sharp) -> None:
        self._sharp = sharp
        self.memory_id, self.size_bytes = sharp.memory_id, sharp.size_bytes

    def near(self, in_sight: Sequence[int]) -> Mixer:
        return WithoutGuesses(self._sharp.near(in_sight))


class Asked:
    """The product's completions, guessed ahead in one of the ways."""

    def __init__(
        self, model: LoadedModel, settings: Settings, knowledge: Knowledge, way: str
    ) -> None:
        completion = settings.completion
        capacity = completion.prompt_tokens + completion.max_tokens
        source, _, ahead = way.partition(" ")
        self._backbone, self._ahead = model.backbone, int(ahead or 0)
        self._session = DecodeSession(model.backbone, capacity)
        self._adapter = knowledge.adapter
        self._completer = Completer(
            self._session, model.tokenizer, model.order, completion, model.confidence
        )
        sharp = knowledge.sharp
        if sharp is not None:
            self._completer.bind(NeverGuessing(sharp) if source == "prompt" else sharp)

    def ask(self, place: Place, counts: Counts) -> Completion | None:
        """The suggestion at a place, if any."""
        document = DocumentSnapshot(f"file:///{place.path}", 1, "python", place.text)
        request = CompletionRequest(document, place.offset, place.trigger, path=place.path)
        self._session.bind(self._adapter)
        self._session.restore()
        with self._counted(counts):
            found = self._completer.complete(request, None, Deadline(600.0), lambda: None)
        if not isinstance(found, Completion):
            return None
        counts.decode_s += found.timings.decode_s
        return found

    @contextmanager
    def _counted(self, counts: Counts) -> Iterator[None]:
        """Count tokens and passes; a suggestion that is not given took some of both too."""
        backbone, session = self._backbone, self._session
        one, ahead, advance = backbone.decode_one, backbone.decode_ahead, session.advance

        def decode_one(*args):  # noqa: ANN002, ANN202
            counts.passes += 1
            return one(*args)

        def decode_ahead(token_ids, *args):  # noqa: ANN001, ANN002, ANN202
            counts.passes += 1
            counts.guesses += 1
            counts.guessed += len(token_ids) - 1
            return ahead(token_ids, *args)

        def advanced(*args):  # noqa: ANN002, ANN202
            counts.tokens += 1
            return advance(*args)

        backbone.ahead_tokens = self._ahead
        backbone.decode_one, backbone.decode_ahead = decode_one, decode_ahead  # type: ignore[method-assign]
        session.advance = advanced  # type: ignore[method-assign]
        try:
            yield
        finally:
            del backbone.decode_one, backbone.decode_ahead, session.advance
            backbone.ahead_tokens = 0


def alike(first: Completion | None, second: Completion | None) -> bool:
    if first is None or second is None:
        return first is second
    is_near = abs(first.confidence - second.confidence) < TOLERANCE
    return is_near and (first.text, first.alternatives) == (second.text, second.alternatives)


if __name__ == "__main__":
    main()
