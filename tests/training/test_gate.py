"""The gate's fit: it believes what was right, and reads the training split only."""

import json
import random

import numpy as np
import pytest

from code2lora_lsp.neural.sharp.evidence import FEATURES
from code2lora_lsp.neural.sharp.gate import load_gate
from code2lora_lsp.neural.sharp.memory import SharpMemory
from code2lora_lsp.neural.sharp.near import NearMemory
from code2lora_lsp.neural.sharp.table import NgramTable
from code2lora_lsp.runtime import gate_fit
from code2lora_lsp.runtime.gate_fit import (
    Scored,
    fit_gate,
    mean_nats,
    read_windows,
    score_near,
    score_windows,
)
from code2lora_lsp.runtime.gate_windows import GateWindow, windows_of
from code2lora_lsp.runtime.ledger_folders import gate_files
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.runtime.sources import Sources
from code2lora_lsp.text.gaps import Coder
from code2lora_lsp.training import gate as command
from tests.repopeftbench.tiny_bench import CAR, ENGINE, PANTRY, SETTINGS, WHEELS, write_model


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(model_folder):
    return load_model(model_folder, SETTINGS, lambda *_: None)


@pytest.fixture
def corpus(tmp_path):
    texts = [ENGINE, CAR, WHEELS, PANTRY]
    for split, name in (("train", "a+one"), ("train", "b+two"), ("validation", "c+held")):
        (tmp_path / split).mkdir(exist_ok=True)
        rows = (
            json.dumps(
                {"path": f"{name[0]}{i}.py", "text": texts[i % 4] + f"\n\n{name[0]}{i} = 1\n"}
            )
            for i in range(24)
        )
        (tmp_path / split / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    return tmp_path


def made_up(share, n_tokens=50):
    """Tokens that two orders give ``share`` and the backbone 0.2."""
    features = np.zeros((n_tokens, 2, len(FEATURES)))
    features[..., 0] = 1.0
    return Scored(np.full(n_tokens, 0.2), np.full((n_tokens, 2), share), features)


def opening(gate):
    return 1.0 - gate.shares(np.eye(1, len(FEATURES)).repeat(2, axis=0))[0]


def test_a_table_that_is_right_is_believed_and_one_that_is_wrong_is_not():
    right, wrong = fit_gate(made_up(0.9), "x"), fit_gate(made_up(0.0), "x")
    assert opening(right) > 0.9
    assert opening(wrong) < 0.1
    assert mean_nats(made_up(0.9), right) < mean_nats(made_up(0.9)) - 1.0
    assert mean_nats(made_up(0.0), wrong) < mean_nats(made_up(0.0)) + 0.1


def test_orders_the_table_has_not_are_never_believed():
    scored = made_up(0.0)
    scored.features[:] = 0.0
    assert mean_nats(scored, fit_gate(made_up(0.9), "x")) == pytest.approx(mean_nats(scored))


def test_what_is_fitted_is_what_serving_mixes(model):
    """The same windows, once by the fit's arrays and once through the memory itself."""
    encode = model.tokenizer.encode
    table = NgramTable.empty(300, "tiny").with_changes([encode(ENGINE), encode(WHEELS)])
    before, target = encode("engine = build_engine("), encode('"diesel")\n')
    window = GateWindow((model.tokenizer.fim_tokens().end_of_text, *before), before, target)
    scored = score_windows(model, table, read_windows(model, [window]))
    gate = fit_gate(scored, "x")
    memory, total = SharpMemory(table, gate), 0.0
    cache = model.backbone.new_cache(200)
    logits = model.backbone.prefill(window.prompt, cache)
    context = list(before)
    for token in target:
        mixed = memory.mixed(logits.double().log_softmax(0), context)
        total -= float(mixed[token])
        context.append(token)
        logits = model.backbone.decode_one(token, cache)
    assert mean_nats(scored, gate) * len(target) == pytest.approx(total, rel=1e-4)


def test_windows_are_gaps_of_the_text_and_infilling_ones_end(model):
    coder, decode = Coder.of(model.tokenizer), model.tokenizer.decode
    windows = windows_of([ENGINE], 60, coder, "spm", random.Random(0))
    end, middle = coder.control.end_of_text, coder.control.middle
    assert len(windows) > 30
    for window in windows:
        assert decode([*window.before[-8:], *window.target]) in ENGINE
        if middle in window.prompt:
            assert window.prompt[-len(window.before) - 1 :][:1] == (middle,)
        else:
            assert window.prompt[0] == end
    assert any(window.target[-1] == end for window in windows if middle in window.prompt)
    assert not any(window.target[-1] == end for window in windows if middle not in window.prompt)


def test_a_prefix_first_model_is_asked_prefix_first(model):
    coder = Coder.of(model.tokenizer)
    windows = windows_of([ENGINE], 30, coder, "psm", random.Random(0))
    infilling = [window for window in windows if window.prompt[-1] == coder.control.middle]
    assert infilling
    for window in infilling:
        assert window.prompt[1 : 1 + len(window.before)] == window.before


def test_only_the_training_split_is_read_and_secrets_are_not(corpus, model, monkeypatch):
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    with (corpus / "train" / "a+one.jsonl").open("a") as file:
        file.write(json.dumps({"path": "keys.py", "text": f'KEY = "{secret}"\n'}) + "\n")
    found = {one.name: dict(one.by_hash("")) for one in command.repositories_of(corpus, 9)}
    assert sorted(found) == ["a/one", "b/two"]
    assert len(found["a/one"]) == 25
    assert not any(secret in text for files in found.values() for text in files.values())


def test_hidden_files_are_asked_about_and_not_counted(model, monkeypatch):
    files = {f"f{i}.py": f"def only_in_{i}():\n    return {i}\n" for i in range(20)}
    asked = []

    def remembering(texts, *rest):
        asked.extend(texts)
        return windows_of(texts, *rest)

    counted = []
    real = gate_fit.blocks_of
    monkeypatch.setattr(gate_fit, "windows_of", remembering)
    monkeypatch.setattr(gate_fit, "blocks_of", lambda p, t: counted.append(t) or real(p, t))
    gate_fit.gate_text(model, Sources.of("a/one", files), 20)
    assert len(asked) == 2
    assert len(counted) == 18
    assert not set(asked) & set(counted)


def test_the_command_writes_both_gates_of_this_backbone(
    corpus, model_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "sys.argv", ["gate", str(corpus), str(tmp_path), "--model", str(model_folder)]
    )
    command.main()
    fingerprint = backbone_fingerprint(model_folder)
    whole, near = gate_files(tmp_path)
    assert load_gate(whole, fingerprint).gate_id != load_gate(near, fingerprint).gate_id
    of_whole, of_near = (
        json.loads(path.read_text())["fitted_on"]["nats_per_token"] for path in (whole, near)
    )
    assert of_whole["mixed"] < of_whole["backbone"]
    assert of_near["mixed with the whole table"] == of_whole["mixed"]
    assert of_near["mixed"] <= of_near["mixed with the whole table"]


def test_what_is_near_is_scored_as_it_is_mixed(model):
    files = {
        f"f{i}.py": f"def only_in_{i}(x):\n    return only_in_{i}(x + {i})\n" for i in range(24)
    }
    text = gate_fit.gate_text(model, Sources.of("a/one", files), 6)
    read = read_windows(model, text.windows)
    memory = SharpMemory(text.table, fit_gate(score_windows(model, text.table, read), "x"))
    scored = score_near(model, memory, text.shelf, read)
    near = NearMemory(memory, text.shelf, fit_gate(scored, "x"))
    total = 0.0
    for window in text.windows:
        cache = model.backbone.new_cache(400)
        logits = model.backbone.prefill(window.prompt, cache)
        context, mixer = list(window.before), near.near(window.prompt)
        for token in window.target:
            total -= float(mixer.mixed(logits.double().log_softmax(0), context)[token])
            context.append(token)
            logits = model.backbone.decode_one(token, cache)
    n_tokens = sum(len(window.target) for window in text.windows)
    assert mean_nats(scored, near.gate) * n_tokens == pytest.approx(total, rel=1e-4)


def test_gaps_that_the_backbone_cannot_read_at_once_are_left_out(model, monkeypatch):
    files = {f"f{i}.py": f"def only_in_{i}():\n    return {i}\n" for i in range(20)}
    short, long = (GateWindow((1,) * n, (1,), (2, 3)) for n in (1023, 1024))
    monkeypatch.setattr(gate_fit, "windows_of", lambda *_: [short, long])
    assert model.backbone.max_positions == short.n_tokens == 1024
    assert gate_fit.gate_text(model, Sources.of("a/one", files), 2).windows == [short]


def test_a_repository_of_few_files_is_not_asked_about(model):
    files = {f"f{i}.py": f"x = {i}\n" for i in range(19)}
    assert gate_fit.gate_text(model, Sources.of("a/one", files), 20) is None


def test_an_empty_corpus_is_refused():
    with pytest.raises(ValueError, match="no repository has enough files"):
        Scored.join([])
