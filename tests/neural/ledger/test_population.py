"""The prior of a ledger on disk, and the grid it sets."""

import pytest
import torch

from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.neural.ledger.population import (
    STEPS_PER_RMS,
    PopulationSum,
    load_population,
    save_population,
)
from tests.neural.ledger.made_up import INNER, WIDTH, random_writes


@pytest.fixture
def population():
    total = PopulationSum(WIDTH, INNER)
    for seed in range(3):
        total.add(random_writes(seed, 50))
    return total.population("0123456789ab")


def test_a_population_is_the_mean_over_all_tokens(population):
    writes = [random_writes(seed, 50) for seed in range(3)]
    keys, errors = (torch.cat([getattr(w, name) for w in writes]) for name in ("keys", "errors"))
    assert population.n_tokens == 150
    assert torch.allclose(population.keys, keys.T @ keys / 150, atol=1e-5)
    assert torch.allclose(population.errors, errors.T @ errors / 150, atol=1e-5)


def test_the_grid_follows_the_size_of_keys_and_errors(population):
    rms = float(population.keys.diagonal().mean().sqrt())
    assert rms / STEPS_PER_RMS / 2 < population.grid.key_grain <= rms / STEPS_PER_RMS
    total = PopulationSum(WIDTH, INNER)
    total.add(random_writes(0, 50, scale=1e-6))
    assert total.population("b").grid.error_grain < 1e-8


def test_what_is_saved_is_loaded_bit_for_bit(population, tmp_path):
    path = tmp_path / "p.safetensors"
    save_population(population, path)
    loaded = load_population(path, "0123456789ab")
    assert loaded.fingerprint == population.fingerprint
    assert torch.equal(loaded.keys, population.keys)
    assert loaded.n_tokens == 150


def test_the_fingerprint_changes_with_numbers_and_backbone(population, tmp_path):
    total = PopulationSum(WIDTH, INNER)
    total.add(random_writes(0, 150))
    names = {
        population.fingerprint,
        total.population("0123456789ab").fingerprint,
        total.population("another").fingerprint,
    }
    assert len(names) == 3


def test_the_fingerprint_is_hashed_once_for_the_status_names_it_each_time(population):
    assert population.fingerprint is population.fingerprint


def test_a_population_of_another_backbone_is_refused(population, tmp_path):
    save_population(population, tmp_path / "p.safetensors")
    with pytest.raises(ModelMismatch, match="0123456789ab"):
        load_population(tmp_path / "p.safetensors", "ffffffffffff")


def test_absent_damaged_and_foreign_files_are_named(population, tmp_path):
    path = tmp_path / "p.safetensors"
    with pytest.raises(ModelMissing, match=r"code2lora-lsp calibrate"):
        load_population(path, "b")
    save_population(population, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelMismatch, match="damaged"):
        load_population(path, "b")
    from safetensors.torch import save_file

    save_file({"keys": torch.ones(2)}, path, {"format": "other"})
    with pytest.raises(ModelMismatch, match="other"):
        load_population(path, "b")


def test_a_population_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no token"):
        PopulationSum(WIDTH, INNER).population("b")
