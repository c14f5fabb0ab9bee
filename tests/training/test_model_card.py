import json

from code2lora_lsp.training.cursors import Cursor
from code2lora_lsp.training.examples import Example
from code2lora_lsp.training.gap_metrics import measure
from code2lora_lsp.training.model_card import draw_curve, model_card
from code2lora_lsp.training.predictors import IdentifierCache

KINDS = ("line", "arguments", "identifier")
CURSORS = [Cursor(kind, "ada/notes", "f.py", "value = value + ", "value", "\n") for kind in KINDS]


def test_a_card_holds_what_was_measured_and_every_repository_under_its_use(exported):
    row = {"commit": "c0ffee", "licence": "MIT", "files": 4, "bytes": 5, "tokens": 6_000_000}
    corpus = {
        "repositories": [
            row | {"repository": "ada/train", "split": "train"},
            row | {"repository": "ada/notes", "split": "validation"},
        ]
    }
    summary, _ = measure(IdentifierCache(), CURSORS, [])
    evaluation = {
        "n_repositories": 1,
        "n_texts": 0,
        "ngram_tokens": 30_000_000,
        "notes": {"tiny": f"*tiny* is {'very ' * 20}small."},
        "predictors": {"tiny": summary, "most used name": summary},
    }
    example = Example(CURSORS[0], "", "the model proposed nothing").to_markdown()
    card = model_card(exported[1], corpus, evaluation, example)
    trained, measured = card.split("Measured on", maxsplit=1)
    assert "| ada/train | `c0ffee` | MIT |" in trained
    assert "| ada/notes | `c0ffee` | MIT |" in measured
    assert (
        "4.0 M tokens in 2 minutes on\none abacus: 0.67 passes over 6 M tokens of 1\nrepositories"
        in card
    )
    assert "| most used name | 100.0 % (100.0-100.0) |" in card
    assert "\n- *tiny* is very" in card
    assert "\n  very very" in card, "a long note is wrapped"
    assert "⟦(nothing: the model proposed nothing)⟧" in card


def test_the_curve_is_drawn_from_the_log(tmp_path):
    log = tmp_path / "log.jsonl"
    rows = [{"tokens": t, "train_nats": 9 - t / 1e6} for t in (1_000_000, 2_000_000)]
    rows.append({"tokens": 2_000_000, "heldout_nats": 7.5})
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    draw_curve(log, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
