"""The sharp memory: what it makes of the backbone's distribution."""

import math

import numpy as np
import pytest
import torch

from code2lora_lsp.errors import ModelMismatch, ModelMissing, ShapeMismatch
from code2lora_lsp.neural.sharp.evidence import FEATURES, Reader
from code2lora_lsp.neural.sharp.gate import Gate, load_gate, save_gate
from code2lora_lsp.neural.sharp.memory import SharpMemory
from code2lora_lsp.neural.sharp.table import NgramTable

V = 10


def gate_of(*openings):
    """λ of each order, whatever the evidence."""
    weights = np.zeros((len(openings), len(FEATURES)))
    weights[:, 0] = [math.log(p / (1 - p)) for p in openings]
    return Gate(weights, "backbone")


def memory_of(*blocks, gate=None):
    table = NgramTable.empty(V, "letters").with_changes(blocks)
    return SharpMemory(table, gate or gate_of(0.5))


def uniform(*allowed, dtype=torch.float64):
    log_p = torch.full((V,), -math.inf, dtype=dtype)
    log_p[list(allowed) or slice(None)] = -math.log(len(allowed) or V)
    return log_p


def by_hand(memory, log_p, context):
    """The chain as its equation is written, token by token."""
    p = log_p.exp().tolist()
    reader = Reader(memory.table)
    evidence = reader.read(log_p.numpy(), context)
    for order in range(0 if evidence is None else len(evidence.starts)):
        row = memory.gate.weights[min(order, len(memory.gate.weights) - 1)]
        opened = 1 / (1 + math.exp(-float(row @ evidence.features[order])))
        p = [
            (1 - opened) * p[token] + opened * float(evidence.share_of(token)[order])
            for token in range(V)
        ]
    return torch.tensor(p, dtype=torch.float64)


def random_case(seed):
    rng = np.random.default_rng(seed)
    blocks = [rng.integers(0, 4, 20).tolist() for _ in range(3)]
    memory = memory_of(*blocks, gate=Gate(rng.normal(size=(3, len(FEATURES))), "backbone"))
    log_p = torch.log_softmax(torch.from_numpy(rng.normal(size=V)), dim=0)
    return memory, log_p, rng.integers(0, 4, 6).tolist()


@pytest.mark.parametrize("seed", range(8))
def test_the_mixture_is_the_chain_from_short_to_long_contexts(seed):
    memory, log_p, context = random_case(seed)
    torch.testing.assert_close(
        memory.mixed(log_p, context).exp(), by_hand(memory, log_p, context), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_mixture_is_normalised_and_the_argument_unchanged(seed):
    memory, log_p, context = random_case(seed)
    before = log_p.clone()
    assert memory.mixed(log_p, context).exp().sum().item() == pytest.approx(1.0)
    assert torch.equal(log_p, before)


def test_what_the_repository_has_seen_becomes_likelier_and_all_else_less_likely():
    memory = memory_of([1, 2, 3])
    mixed = memory.mixed(uniform(), [2]).exp()
    assert mixed[3].item() == pytest.approx(0.5 + 0.5 / V)
    assert mixed[4].item() == pytest.approx(0.5 / V)


def test_tokens_that_are_not_allowed_stay_so_and_the_others_share_their_part():
    memory = memory_of([1, 2], [1, 3], [1, 4])
    mixed = memory.mixed(uniform(3, 5), [1]).exp()
    assert mixed.nonzero().flatten().tolist() == [3, 5]
    assert mixed[3].item() == pytest.approx(0.75)  # 2 and 4 may not be: all of p̂ is 3's


@pytest.mark.parametrize("context", [[], [9], [2, 99]])
def test_without_a_match_nothing_changes(context):
    log_p = uniform()
    assert memory_of([1, 2, 3]).mixed(log_p, context) is log_p


def test_without_an_allowed_match_nothing_changes():
    log_p = uniform(5, 6)
    assert memory_of([1, 2, 3]).mixed(log_p, [1]) is log_p


def test_single_precision_stays_single_precision_and_hopeless_tokens_stay_finite():
    log_p = uniform(dtype=torch.float32)
    log_p[7] = -200.0  # underflows when it is no logarithm
    mixed = memory_of([1, 2, 3]).mixed(log_p, [1])
    assert mixed.dtype == torch.float32
    assert torch.isfinite(mixed).all()


def test_contexts_longer_than_the_gate_knows_are_believed_as_its_longest():
    long = memory_of([1, 2, 3, 4], gate=gate_of(0.25, 0.5))
    assert long.mixed(uniform(), [1, 2, 3]).exp()[4].item() == pytest.approx(
        1 - (1 - 1 / V) * 0.75 * 0.5 * 0.5
    )


def test_asking_twice_gives_the_same_bits_and_another_memory_its_own():
    memory, log_p, context = random_case(1)
    assert torch.equal(memory.mixed(log_p, context), memory.mixed(log_p, context))
    other = SharpMemory(memory.table.with_changes([[1, 2, 3]]), memory.gate)
    assert other.memory_id != memory.memory_id
    assert SharpMemory(memory.table, gate_of(0.1)).memory_id != memory.memory_id
    assert SharpMemory(memory.table, memory.gate).memory_id == memory.memory_id


def test_features_are_counts_agreement_and_entropy():
    table = NgramTable.empty(V, "letters").with_changes([[1, 2], [1, 2], [1, 3]])
    evidence = Reader(table).read(uniform().numpy(), [1])
    wanted = [1.0, math.log(3), math.log(2), math.log(1 / V), math.log(V)]
    assert evidence.features[0] == pytest.approx(wanted, abs=1e-4)
    assert evidence.share_of(2).tolist() == pytest.approx([2 / 3])


def test_a_saved_gate_is_read_back_for_its_own_backbone_only(tmp_path):
    gate = Gate(np.random.default_rng(0).normal(size=(3, len(FEATURES))), "abc")
    path = tmp_path / "gate.json"
    save_gate(gate, path, {"tokens": 3})
    again = load_gate(path, "abc")
    assert again.gate_id == gate.gate_id
    assert np.array_equal(again.weights, gate.weights)
    with pytest.raises(ModelMismatch, match="make one for this backbone"):
        load_gate(path, "def")
    with pytest.raises(ModelMissing, match="does not exist"):
        load_gate(tmp_path / "absent", "abc")


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "code2lora-gate-1"}'])
def test_a_damaged_gate_is_refused(tmp_path, text):
    (tmp_path / "gate.json").write_text(text)
    with pytest.raises(ModelMismatch, match="damaged"):
        load_gate(tmp_path / "gate.json", "abc")


@pytest.mark.parametrize("weights", [np.zeros((0, 5)), np.zeros((2, 4)), np.full((1, 5), np.nan)])
def test_a_gate_of_the_wrong_shape_or_of_no_numbers_is_refused(weights):
    with pytest.raises(ShapeMismatch, match="gate"):
        Gate(weights, "abc")
