"""The card of an embedded model: ``python -m code2lora_lsp.training.model_card FOLDER CORPUS``.

Everything in it is measured: losses from the folder's manifest, the tables from what
``training.evaluate`` wrote, the curve from the run's log, the examples from ``training.examples``.
"""

import argparse
import json
import textwrap
from pathlib import Path
from typing import Any

NOTE_COLUMNS = 90
KINDS = {
    "line": "rest of the line",
    "arguments": "arguments of a call",
    "identifier": "identifier",
}


def model_card(
    manifest: dict[str, Any], corpus: dict[str, Any], evaluation: dict[str, Any], examples: str
) -> str:
    """Markdown from a model's manifest, its corpus's manifest, its evaluation and its examples."""
    repositories = corpus["repositories"]
    return "\n".join(
        (
            _summary(manifest, repositories),
            _results(manifest, evaluation),
            _by_repository(manifest["name"], evaluation),
            _EXAMPLES + examples,
            _LIMITS,
            _data(repositories),
            _USE,
        )
    )


def _summary(manifest: dict[str, Any], repositories: list[dict[str, Any]]) -> str:
    training, millions = manifest["training"], manifest["n_parameters"] / 1e6
    train = [r for r in repositories if r["split"] == "train"]
    tokens, read = sum(r["tokens"] for r in train) / 1e6, training["n_tokens"] / 1e6
    return f"""# {manifest["name"]}

A fill-in-the-middle model of Python for code2lora-lsp: {millions:.1f} M parameters,
Qwen2 architecture and pre-tokenizer, byte-level BPE of 8,192 tokens, tied embeddings; trained from
random weights by `code2lora_lsp.training.pretrain`.

It read {read:.1f} M tokens in {training["minutes"]:.0f} minutes on
{training["hardware"]}: {read / tokens:.2f} passes over {tokens:.0f} M tokens of {len(train)}
repositories.

Stored as int8 with one scale per matrix row (`{manifest["quantisation"]}`).
Trained on windows of 512, 1,024 and at last {manifest["trained_context_tokens"]:,} tokens.

![Loss over tokens](loss.png)
"""


def _results(manifest: dict[str, Any], evaluation: dict[str, Any]) -> str:
    measured = manifest["validation"]
    positions = measured["nats_by_position"]
    predictors = evaluation["predictors"]
    n = {kind: next(iter(predictors.values()))[kind]["n"] for kind in KINDS}
    head = [
        "| | " + " | ".join(KINDS.values()) + " | lines that parse | bits per byte: text | line |",
        "|---|" + "---|" * (len(KINDS) + 3),
    ]
    rows = [_row(name, summary) for name, summary in predictors.items()]
    return f"""## Results on validation repositories

None of these {evaluation["n_repositories"]} repositories was trained on; files that share most of
their lines with a training file were dropped from them.

| | |
|---|---|
| held-out loss, training mix | {measured["heldout_nats_per_token"]:.3f} nats per token |
| of which int8 storage costs | {measured["quantisation_cost_nats_per_token"]:.4f} nats per token |

Loss by the tokens of the same file that stand before, nats per token, long files:

| {" | ".join(positions)} |
|{"---|" * len(positions)}
| {" | ".join(f"{nats:.3f}" for nats in positions.values())} |

Gaps filled exactly, greedy, untrimmed, with a 95 % interval from resampling repositories
({", ".join(f"{n[kind]} {name}s" for kind, name in zip(KINDS, ("line", "call", "identifier"), strict=True))}).
Bits per byte: of the first 3,000 characters of {evaluation["n_texts"]} files left to right, and of the
rests of lines as served, where what is typed of a word costs nothing.

{chr(10).join(head + rows)}

- The 5-gram (Witten-Bell back-off, {evaluation["ngram_tokens"] / 1e6:.0f} M training tokens) and the
  cache of the file's own tokens are the cheap explanations; *most used name* answers with the name
  used most often in the file so far.
{_notes(evaluation.get("notes", {}))}"""  # noqa: E501 (rows of a table)


def _notes(notes: dict[str, str]) -> str:
    return "".join(
        textwrap.fill(note, NOTE_COLUMNS, initial_indent="- ", subsequent_indent="  ") + "\n"
        for note in notes.values()
    )


def _row(name: str, summary: dict[str, Any]) -> str:
    cells = [_share(summary[kind]["exact_match"]) for kind in KINDS]
    cells.append(_share(summary["line"]["parses"]))
    bits = (summary["left_to_right_bits_per_byte"], summary["line"]["bits_per_byte"])
    cells += ["" if value is None else f"{value:.3f}" for value in bits]
    return f"| {name} | " + " | ".join(cells) + " |"


def _share(value: dict[str, float]) -> str:
    low, high = 100 * value["low"], 100 * value["high"]
    return f"{100 * value['mean']:.1f} % ({low:.1f}-{high:.1f})"


def _by_repository(name: str, evaluation: dict[str, Any]) -> str:
    rows = [
        f"| {repository} | "
        + " | ".join("" if exact[k] is None else f"{100 * exact[k]:.0f} %" for k in KINDS)
        + " |"
        for repository, exact in evaluation["predictors"][name]["by_repository"].items()
    ]
    head = [f"| repository | {' | '.join(KINDS.values())} |", "|---|" + "---|" * len(KINDS)]
    return "Exactly filled by repository (few gaps each):\n\n" + "\n".join([*head, *rows]) + "\n"


_EXAMPLES = """## Twenty unselected completions

Random cursors of validation files, through the whole product while typing, without an adapter.
What was offered stands in ⟦ ⟧; *there* is what the file says.

"""

_LIMITS = """## Limits

- It knows indentation, common idioms and what stands in its window; of libraries it knows little,
  of other languages nothing.
- Names, numbers and strings it cannot see are guesses; most suggestions longer than a few words
  need editing.
- It may write what looks like a name, an address or a key; none of them is to be trusted.
"""


def _data(repositories: list[dict[str, Any]]) -> str:
    return f"""## Data

Public repositories under permissive licences, split by a hash of their name
(`training/splits.py`). Generated, data-like, vendored and duplicate files, and files with
patterns of secrets, were left out; at most 4 MB were taken from one repository.
A run shorter than one pass saw a random part of this.

Trained on:

{_table(repositories, "train")}

Measured on (for choosing between runs too), and never trained on:

{_table(repositories, "validation")}
"""


def _table(repositories: list[dict[str, Any]], split: str) -> str:
    rows = [
        f"| {r['repository']} | `{r['commit']}` | {r['licence']} | {r['files']:,} "
        f"| {r['bytes']:,} | {r['tokens']:,} |"
        for r in repositories
        if r["split"] == split
    ]
    head = [
        "| repository | commit | licence | files | bytes | tokens |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows])


_USE = """## Use

The prompt is `<|fim_prefix|><|fim_suffix|>` suffix `<|fim_middle|>` prefix; the completion ends at
`<|endoftext|>`. Prefix and suffix are encoded separately. `AutoModelForCausalLM` needs the weights
dequantised first (`neural/weights.py`); `AutoTokenizer` loads the tokenizer as it is.

## Train it again

With clones of repositories under `CLONES`, each as `owner+name`:

```sh
make nano CLONES=… WORK=…
```

builds corpus and tokenizer, trains, exports, evaluates and writes this card; it goes on where it
was stopped. `make small` does the same for the larger shape, on CUDA where there is one.
"""


def draw_curve(log: Path, output: Path) -> None:
    """Training and held-out loss over tokens, from a run's log, as PNG."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - optional, and slow to import

    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    for key, label, style in (("train_nats", "training", "-"), ("heldout_nats", "held out", "o-")):
        points = [(row["tokens"] / 1e6, row[key]) for row in rows if key in row]
        axes.plot(*zip(*points, strict=True), style, label=label, linewidth=1, markersize=4)
    axes.set(xlabel="million tokens", ylabel="nats per token")
    axes.set_ylim(top=6.0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(output, dpi=110)


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def main() -> None:
    """Parse arguments; write the card, and the curve beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--evaluation", type=Path, required=True)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    arguments = parser.parse_args()
    card = model_card(
        _read(arguments.folder / "manifest.json"),
        _read(arguments.corpus / "manifest.json"),
        _read(arguments.evaluation),
        arguments.examples.read_text(encoding="utf-8"),
    )
    (arguments.folder / "README.md").write_text(card, encoding="utf-8")
    draw_curve(arguments.log, arguments.folder / "loss.png")


if __name__ == "__main__":
    main()
