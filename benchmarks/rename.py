"""A package-wide rename in one commit: the new name has to gain and the old one to lose, at once.

    python benchmarks/rename.py CLONE COMMIT OLD NEW      (certbot 3961b70de letsencrypt certbot)

Knowledge of the commit's parent and of the commit are made as the server makes them, but for a
quarter of the files that hold the new name, which are hidden from both. Asked is the first use of
the name in each of those, after the text above it. JSON lines: mean nats of either name.
"""

import argparse
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from git import Repo

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.config import FollowSettings, Settings, models_root
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.runtime.decoding import Decoding
from code2lora_lsp.runtime.following import load_following
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.runtime.tree_texts import TreeTexts
from code2lora_lsp.text.fim import PromptBuilder

MOST_FILES = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clone", type=Path)
    parser.add_argument("commit")
    parser.add_argument("old")
    parser.add_argument("new")
    arguments = parser.parse_args()
    repository = Repository.discover(arguments.clone)
    commit, parent = _two_ids(arguments.clone, arguments.commit)
    texts = TreeTexts(repository)
    after = texts.after(texts.changes(None, commit))
    name = re.compile(rf"(?<!\w){re.escape(arguments.new)}(?!\w)")
    holding = {path: text for path, text in after.items() if name.search(text)}
    hidden = [path for path in sorted(holding) if _digest(path) % 4 == 0][:MOST_FILES]
    if not hidden:
        sys.exit(f"no file of {commit[:12]} that is hidden holds {arguments.new!r}")
    befores = [holding[path][: name.search(holding[path]).start()] for path in hidden]  # type: ignore[union-attr]
    both = set(hidden) | {_renamed(p, arguments.new, arguments.old) for p in hidden}
    settings = Settings(follow=FollowSettings(exclude=tuple(f"/{path}" for path in sorted(both))))
    asked = Asked(settings)
    print(json.dumps({"commit": commit[:12], "files asked": len(hidden)}))
    for figure, names in asked.figures(arguments.clone, {"parent": parent, "commit": commit}):
        nats = {word: asked.nats(names, befores, word) for word in (arguments.old, arguments.new)}
        print(json.dumps({"knowledge": figure, **{k: round(v, 3) for k, v in nats.items()}}))


class Asked:
    """The embedded model, asked what it expects after some text."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._model = load_model(models_root() / "nano", settings.model, lambda *_: None)
        backbone, tokenizer = self._model.backbone, self._model.tokenizer
        self._session = DecodeSession(backbone, 1200)
        self._decoding = Decoding(tokenizer, backbone.vocabulary_size)
        self._prompts = PromptBuilder(tokenizer, self._model.order, 1024, 0)

    def figures(self, clone: Path, commits: dict[str, str]) -> Iterator[tuple[str, Knowledge]]:
        """Knowledge of nothing and of each commit, in this order."""
        yield "none", Knowledge("")
        with tempfile.TemporaryDirectory(prefix="code2lora-bench-") as scratch:
            follow = replace(self._settings.follow, state_dir=scratch)
            settings = replace(self._settings, follow=follow)
            models = load_following(settings, self._model.backbone, lambda: False)
            assert models is not None
            follower = models.follower(Repository.discover(clone, follow.exclude))
            for figure, commit in commits.items():
                *_, last = follower.run(commit, Cancellation(), lambda: None)
                knowledge = last.knowledge()
                yield figure, knowledge
                yield f"{figure}, adapter alone", replace(knowledge, sharp=None)

    def nats(self, knowledge: Knowledge, befores: list[str], word: str) -> float:
        """Mean -log p of a name after each text."""
        self._session.bind(knowledge.adapter)
        return sum(self._one(knowledge, before, word) for before in befores) / len(befores)

    def _one(self, knowledge: Knowledge, before: str, word: str) -> float:
        kept, typed = self._decoding.healer.split(before)
        prompt = self._prompts.build(f"{len(before)}", kept, "").token_ids
        wanted = self._model.tokenizer.encode(typed + word)
        logits = [self._session.feed(prompt, lambda: None).logits]
        logits += [self._session.advance(token) for token in wanted[:-1]]
        mixer = knowledge.sharp.near(prompt) if knowledge.sharp else None
        return sum(self._decoding.nats(prompt, typed, wanted, logits, mixer))


def _two_ids(clone: Path, commit: str) -> tuple[str, str]:
    found = Repo(clone).commit(commit)
    return found.hexsha, found.parents[0].hexsha


def _renamed(path: str, new: str, old: str) -> str:
    return path.replace(new, old)


def _digest(path: str) -> int:
    return hashlib.sha256(path.encode()).digest()[0]


if __name__ == "__main__":
    main()
