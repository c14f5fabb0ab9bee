"""A tiny random model in a folder, two made-up repositories and items that ask about them."""

import json
from dataclasses import replace

from safetensors.torch import save_file

from code2lora_lsp.config import ModelSettings
from code2lora_lsp.neural.decoder_config import DecoderConfig
from code2lora_lsp.repopeftbench.arms.arm import Target
from code2lora_lsp.repopeftbench.items import InRepoSplit, Item, Track
from code2lora_lsp.repopeftbench.scoring import Scorer
from code2lora_lsp.runtime.model_loading import load_model
from code2lora_lsp.training.tokenizer import save_tokenizer, train_tokenizer
from tests.fakes import random_weights
from tests.gitrepo import GitRepo

SMALL = DecoderConfig(
    vocabulary_size=300, width=32, intermediate_width=48, n_layers=2, n_heads=4, n_kv_heads=2,
    head_dim=8, max_positions=1024, tied_embeddings=True,
)  # fmt: skip
SETTINGS = ModelSettings(device="cpu", threads=1)

ENGINE = '''"""Engines turn wheels."""


class Engine:
    cylinders = 4

    def __init__(self, fuel):
        self.fuel = fuel

    def ignite_sparkplug(self, voltage, *, dry_run=False):
        """Start it."""
        return voltage > 12


def build_engine(kind):
    return Engine(kind)
'''
WHEELS = (
    "def inflate_tyre(pressure):\n    return pressure * 2\n\n\ndef inflate_all():\n    return 4\n"
)
CAR = """from garage.engine import Engine, build_engine
from garage import wheels


def drive():
    engine = build_engine("diesel")
    engine.ignite_sparkplug(14)
    return wheels.inflate_tyre(3)
"""
PANTRY = """def knead_dough(flour, water):
    return flour + water


def bake_bread(oven):
    oven()
"""


def write_model(folder, *, order="spm", seed=0):
    """A Qwen2 folder of random weights with a tokenizer that has every special token."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer([ENGINE, WHEELS, CAR, PANTRY], SMALL.vocabulary_size)
    save_tokenizer(tokenizer, folder, context_tokens=SMALL.max_positions)
    save_file(random_weights(SMALL, seed), folder / "model.safetensors", {"format": "pt"})
    raw = {
        "model_type": "qwen2", "vocab_size": SMALL.vocabulary_size, "hidden_size": SMALL.width,
        "intermediate_size": SMALL.intermediate_width, "num_hidden_layers": SMALL.n_layers,
        "num_attention_heads": SMALL.n_heads, "num_key_value_heads": SMALL.n_kv_heads,
        "max_position_embeddings": SMALL.max_positions, "tie_word_embeddings": True,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(raw))
    (folder / "manifest.json").write_text(json.dumps({"fim_order": order}))
    return folder


def make_scorer(folder, **arguments):
    return Scorer(load_model(folder, SETTINGS, lambda *_: None), **arguments)


def make_garage(root):
    """A repository of four commits; ``garage/car.py`` holds the items."""
    repo = GitRepo(root)
    repo.commit({"garage/__init__.py": "", "garage/engine.py": ENGINE})
    repo.commit("garage/wheels.py", WHEELS)
    repo.commit("garage/car.py", CAR)
    repo.commit("garage/wheels.py", WHEELS + "\n\ndef puncture():\n    return 0\n")
    return Target("ada/garage", repo.git_dir, repo.head, frozenset({"garage/car.py"}))


def make_pantry(root):
    repo = GitRepo(root)
    repo.commit("pantry.py", PANTRY)
    repo.commit("shelf.py", "def stack_jars(n):\n    return [n] * 3\n")
    return Target("bob/pantry", repo.git_dir, repo.head)


def garage_item(at, /, name="ignite_sparkplug", rest="(14)", **fields):
    """The gap where ``name`` stands in ``garage/car.py``, answered by it and ``rest``."""
    cut = CAR.index("." + name) + 1
    before = CAR[:cut]
    gap = Item(
        item_id=name, repository=at.repository, commit_id=at.known_commit_id,
        commit_index=3, in_repo_split=InRepoSplit.TEST, track=Track.KNOWLEDGE, kind="attribute",
        path="garage/car.py", function="drive", line=before.count("\n") + 1,
        column=len(before) - before.rfind("\n") - 1, prefix=before, target=name + rest,
        suffix=CAR[cut + len(name + rest) :], identifier=name,
    )  # fmt: skip
    return replace(gap, **fields)
