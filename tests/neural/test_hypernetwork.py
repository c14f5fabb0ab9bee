import pytest
import torch

from code2lora_lsp.errors import AdapterRejected, ModelMismatch, ShapeMismatch
from code2lora_lsp.neural.code2lora.hypernetwork import Code2LoraEvo, Code2LoraStatic
from code2lora_lsp.neural.lora import Projection
from tests.neural.tiny_code2lora import TYPE_DIMS, checkpoint


def test_a_state_walks_from_a_snapshot_through_commits_to_an_adapter():
    made = checkpoint()
    evo = Code2LoraEvo(made)
    snapshot, diffs = torch.randn(24), torch.randn(3, 24)
    state = evo.initial_state(snapshot)
    assert state.shape == (1, 1, 20)
    for diff in diffs:
        state = evo.step(diff, state)
    assert not state.requires_grad
    adapter = evo.adapter(state, "c" * 40)
    assert adapter.commit_id == "c" * 40
    assert adapter.scale == 2.0
    assert set(adapter.pairs) == {Projection(i, name) for i in range(2) for name in TYPE_DIMS}
    states = made.gru.steps(diffs[None], made.gru.initial_state(snapshot[None]))
    expected = made.head(made.gru.output_norm(states[:, -1]))
    pair = adapter.pairs[Projection(1, "up_proj")]
    torch.testing.assert_close(pair.a, expected.a["up_proj"][0], atol=1e-6, rtol=0)
    torch.testing.assert_close(pair.b, expected.b["up_proj"][0], atol=1e-6, rtol=0)


def test_layers_share_the_tensors_of_a_projection_type():
    evo = Code2LoraEvo(checkpoint())
    adapter = evo.adapter(evo.initial_state(torch.randn(24)), None)
    first, second = (adapter.pairs[Projection(i, "q_proj")] for i in range(2))
    assert first.a.data_ptr() == second.a.data_ptr()
    assert adapter.size_bytes == sum(4 * 4 * (n_in + n_out) for n_in, n_out in TYPE_DIMS.values())


def test_an_adapter_changes_with_the_state_and_only_with_it():
    evo = Code2LoraEvo(checkpoint())
    state = evo.initial_state(torch.randn(24))
    later = evo.step(torch.randn(24), state)
    first, again, other = (evo.adapter(s, "c") for s in (state, state, later))
    assert first.adapter_id == again.adapter_id != other.adapter_id


def test_a_static_checkpoint_makes_an_adapter_from_a_snapshot():
    made = checkpoint("static")
    snapshot = torch.randn(24)
    adapter = Code2LoraStatic(made).adapter(snapshot, "c")
    expected = made.head(snapshot[None]).b["down_proj"][0]
    assert torch.equal(adapter.pairs[Projection(0, "down_proj")].b, expected)


def test_tasks_of_one_checkpoint_get_different_adapters():
    evo = Code2LoraEvo(checkpoint(n_tasks=2))
    state = evo.initial_state(torch.randn(24))
    ids = [evo.adapter(state, "c", task).adapter_id for task in (None, 0, 1)]
    assert ids[0] == ids[1] != ids[2]


def test_each_kind_refuses_the_other_s_checkpoint():
    with pytest.raises(ModelMismatch, match="Static"):
        Code2LoraEvo(checkpoint("static"))
    with pytest.raises(ModelMismatch, match="Evo"):
        Code2LoraStatic(checkpoint())


def test_a_broken_state_is_rejected_and_makes_no_adapter():
    evo = Code2LoraEvo(checkpoint())
    with pytest.raises(AdapterRejected, match="non-finite"):
        evo.adapter(torch.full((1, 1, 20), float("nan")), "c")


def test_a_batch_of_embeddings_is_a_bug():
    with pytest.raises(ShapeMismatch):
        Code2LoraEvo(checkpoint()).initial_state(torch.randn(1, 24))
