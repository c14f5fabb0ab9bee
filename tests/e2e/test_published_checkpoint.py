"""A published checkpoint file in the product: imported by the command, followed by the server."""

import subprocess

import torch
import transformers

from code2lora_lsp.config import models_root
from code2lora_lsp.neural.code2lora.commit_gru import CommitGru, CommitGruConfig
from code2lora_lsp.neural.code2lora.lora_head import LoraHead, LoraHeadConfig
from code2lora_lsp.neural.decoder_config import decoder_config, read_config_json
from code2lora_lsp.training.evo_model import projection_dims
from code2lora_lsp.training.tokenizer import train_tokenizer
from tests.e2e.test_product import SERVER, started, wait_current
from tests.gitrepo import GitRepo

WIDTH, RANK = 8, 2


def write_encoder(folder):
    """A Qwen3 of one layer, as Qwen3-Embedding's family."""
    config = transformers.Qwen3Config(
        vocab_size=300, hidden_size=WIDTH, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.Qwen3Model(config).save_pretrained(folder)
    fast = train_tokenizer(["def f(a):\n    return a\n"], 264)
    transformers.PreTrainedTokenizerFast(tokenizer_object=fast).save_pretrained(folder)


def write_published(path):
    """What an upstream ``gru_head.best.pt`` holds, for the embedded backbone."""
    torch.manual_seed(1)
    dims = projection_dims(decoder_config(read_config_json(models_root() / "nano")))
    gru = CommitGru(CommitGruConfig(2 * WIDTH, 2 * WIDTH, 12))
    head = LoraHead(LoraHeadConfig(dims, context_width=12, hidden_width=6, rank=RANK))
    torch.save(
        {
            "gru_state": gru.state_dict(),
            "head_state": head.state_dict(),
            "head_config": {"input_dim": 12, "hidden_dim": 6, "rank": RANK,
                            "types": list(head.config.types), "type_dims": dims},
            "gru_config": {"diff_input_dim": 2 * WIDTH, "repo_state_dim": 2 * WIDTH,
                           "hidden_dim": 12},
            "type_dims": dims,
            "args": {"model_name": "nano", "rank": RANK, "alpha": 4.0},
            "per_step_input": "diff",
        },
        path,
    )  # fmt: skip


def test_an_imported_checkpoint_follows_the_commits_its_recipe_keeps(tmp_path):
    write_published(tmp_path / "gru_head.best.pt")
    write_encoder(tmp_path / "encoder")
    subprocess.run(
        [*SERVER, "import", tmp_path / "gru_head.best.pt", tmp_path / "imported", "--layers", "4"],
        check=True,
    )
    repo = GitRepo(tmp_path / "project")
    repo.commit({"kiln.py": "heat = 1\n", "tests/test_kiln.py": "def test():\n    assert 1 == 1\n"})
    options = {
        "model": {
            "hypernetwork": "code2lora",
            "checkpoint": str(tmp_path / "imported"),
            "encoder": str(tmp_path / "encoder"),
        },
        "follow": {"stateDir": str(tmp_path / "states"), "pollS": 0.3},
    }
    with started(repo, options) as client:
        first = wait_current(client, repo.head)
        assert first["adapterId"]
        tests = "def test():\n    assert heat == 22 + 22\n"
        repo.commit({"kiln.py": "heat = 2\n" * 40, "tests/test_kiln.py": tests})
        assert wait_current(client, repo.head)["adapterId"] != first["adapterId"]
