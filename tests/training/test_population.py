"""Population statistics over a corpus: who gives how much, and what the seed decides."""

import json

import pytest

from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.neural.ledger.population import load_population
from code2lora_lsp.runtime import population_writing
from code2lora_lsp.runtime.model_folders import backbone_fingerprint
from code2lora_lsp.training import population as command
from tests.repopeftbench.tiny_bench import CAR, ENGINE, PANTRY, write_model


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def corpus(tmp_path):
    shards = {"train": {"a+large": [ENGINE, CAR] * 4, "b+small": [PANTRY]}, "validation": {}}
    shards["validation"]["c+held"] = ["def never_read():\n    pass\n"]
    for split, repositories in shards.items():
        (tmp_path / split).mkdir()
        for name, texts in repositories.items():
            rows = (json.dumps({"path": f"m{i}.py", "text": t}) for i, t in enumerate(texts))
            (tmp_path / split / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_the_seed_decides_and_about_as_many_tokens_are_read_as_asked(corpus, model_folder):
    made = [command.population_of(corpus, model_folder, 200, seed) for seed in (1, 1, 2, 3, 4)]
    one, same, *others = made
    assert one.fingerprint == same.fingerprint
    assert any(other.fingerprint != one.fingerprint for other in others)
    assert 150 < one.n_tokens < 400
    everything = command.population_of(corpus, model_folder, 10**6)
    assert everything.n_tokens > 3 * one.n_tokens


def test_repositories_share_the_tokens_equally(corpus, model_folder, monkeypatch):
    n_after = {}
    monkeypatch.setattr(command, "_Lines", lambda: lambda name, n, _: n_after.update({name: n}))
    command.population_of(corpus, model_folder, 120)
    n_large, n_both = n_after["a/large"], n_after["b/small"]
    assert 60 <= n_large < 2 * (n_both - n_large) + 60


def test_only_the_training_split_is_read_and_secrets_are_not(corpus, model_folder, monkeypatch):
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    row = json.dumps({"path": "keys.py", "text": f'KEY = "{secret}"\n'})
    (corpus / "train" / "d+secret.jsonl").write_text(row + "\n")
    read = []

    def remembering(path, source):
        read.append(source)
        return []

    monkeypatch.setattr(population_writing, "blocks_of", remembering)
    with pytest.raises(ValueError, match="no token"):
        command.population_of(corpus, model_folder)
    assert len(read) == 10
    assert not any("never_read" in source or secret in source for source in read)


def test_the_command_writes_a_file_of_this_backbone(corpus, model_folder, tmp_path, monkeypatch):
    out = tmp_path / "population.safetensors"
    monkeypatch.setattr(
        "sys.argv",
        ["population", str(corpus), str(out), "--model", str(model_folder), "--tokens", "99"],
    )
    command.main()
    assert load_population(out, backbone_fingerprint(model_folder)).n_tokens >= 99
    with pytest.raises(ModelMismatch):
        load_population(out, "another")
