"""Measures models on validation repositories: ``python -m code2lora_lsp.training.evaluate``.

    … evaluate CORPUS OUT.json --model nano=models/nano --model "before=OLD FOLDER" …

Every model fills the same gaps in the same files, beside a 5-gram with back-off, the same with a
cache of the file's tokens, and the name used most often in the file. A model given as
``NAME=FOLDER@prefix`` is asked by the prefix alone. ``--note NAME=TEXT`` says in the model's card
what one of them is.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from code2lora_lsp.text.fim import Order
from code2lora_lsp.text.tokenizer import Tokenizer, fim_order
from code2lora_lsp.training.corpus import read_shards
from code2lora_lsp.training.cursors import Cursor, sample_cursors
from code2lora_lsp.training.gap_metrics import Outcome, measure
from code2lora_lsp.training.ngram import BackOffModel
from code2lora_lsp.training.packing import SourceFile, cut_into_segments
from code2lora_lsp.training.predictors import (
    IdentifierCache,
    ModelPredictor,
    NgramPredictor,
    Predictor,
)
from code2lora_lsp.training.splits import Split

FILES_PER_REPOSITORY = 4
LONGEST_TEXT_CHARS = 3000


def ngram_tokens(corpus: Path, tokenizer: Tokenizer, n_tokens: int) -> NDArray[np.int64]:
    """About ``n_tokens`` of the training files' ids, drawn file by file, [N] int64."""
    files = [SourceFile(*record) for record in read_shards(corpus, Split.TRAIN)]
    segments = cut_into_segments(files)
    end, ids = tokenizer.fim_tokens().end_of_text, list[int]()
    for index in np.random.default_rng(0).permutation(len(segments)):
        segment = segments[index]
        ids += [end, *tokenizer.encode(segment.file.text[segment.start : segment.stop])]
        if len(ids) >= n_tokens:
            break
    return np.array(ids)


def _predictors(corpus: Path, models: Sequence[str], n_tokens: int) -> dict[str, Predictor]:
    found: dict[str, Predictor] = {}
    for argument in models:
        name, _, place = argument.partition("=")
        folder, _, way = place.partition("@")
        order: Order = "spm" if fim_order(Path(folder)) == "spm" else "psm"
        found[name] = ModelPredictor(Path(folder), None if way == "prefix" else order)
    tokenizer = Tokenizer.from_folder(Path(models[0].partition("=")[2].partition("@")[0]))
    ngram = BackOffModel(ngram_tokens(corpus, tokenizer, n_tokens), tokenizer.vocabulary_size)
    found["5-gram"] = NgramPredictor(ngram, tokenizer, 0.0)
    found["5-gram + cache"] = NgramPredictor(ngram, tokenizer)
    found["most used name"] = IdentifierCache()
    return found


def notes_of(arguments: Sequence[str], models: Sequence[str]) -> dict[str, str]:
    """What is to be said of each model, by name.

    Raises:
        ValueError: a note is of no model that is measured.
    """
    notes = {name: text for name, _, text in (given.partition("=") for given in arguments)}
    known = {model.partition("=")[0] for model in models}
    if not notes.keys() <= known:
        unknown = min(notes.keys() - known)
        raise ValueError(f"a note on {unknown!r}, want one of {', '.join(sorted(known))}")
    return notes


def main() -> None:
    """Parse arguments, measure every predictor, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", action="append", required=True, metavar="NAME=FOLDER[@prefix]")
    parser.add_argument("--note", action="append", default=[], metavar="NAME=TEXT")
    parser.add_argument("--per-repository", type=int, default=12)
    parser.add_argument("--ngram-tokens", type=int, default=30_000_000)
    parser.add_argument(
        "--outcomes", type=Path, help="also write every completion, a JSON line each"
    )
    arguments = parser.parse_args()
    try:
        notes = notes_of(arguments.note, arguments.model)
    except ValueError as error:
        parser.error(str(error))
    torch.set_num_threads(1)
    files = [SourceFile(*record) for record in read_shards(arguments.corpus, Split.VALIDATION)]
    cursors = sample_cursors(files, arguments.per_repository)
    texts = _first_texts(files)
    document: dict[str, Any] = {
        "n_repositories": len({cursor.repository for cursor in cursors}),
        "n_texts": len(texts),
        "ngram_tokens": arguments.ngram_tokens,
        "notes": notes,
        "predictors": {},
    }
    predictors = _predictors(arguments.corpus, arguments.model, arguments.ngram_tokens)
    for name, predictor in predictors.items():
        document["predictors"][name], outcomes = measure(predictor, cursors, texts)
        print(name, json.dumps(document["predictors"][name] | {"by_repository": "…"}), flush=True)
        if arguments.outcomes:
            _write_outcomes(arguments.outcomes / f"{name}.jsonl", cursors, outcomes)
    arguments.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _first_texts(files: Sequence[SourceFile]) -> list[tuple[str, str]]:
    """The first lines of some files of each repository, as (repository, text)."""
    taken: dict[str, list[str]] = {}
    for file in files:
        texts = taken.setdefault(file.repository, [])
        if len(texts) < FILES_PER_REPOSITORY:
            texts.append(file.text[:LONGEST_TEXT_CHARS])
    return [(repository, text) for repository, texts in taken.items() for text in texts]


def _write_outcomes(path: Path, cursors: Sequence[Cursor], outcomes: Sequence[Outcome]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (
        asdict(outcome)
        | {"path": cursor.path, "target": cursor.target, "line": cursor.before[-200:]}
        for cursor, outcome in zip(cursors, outcomes, strict=True)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
