"""The reference package (``code2lora`` 0.3.3, module ``c2l``) holding our weights."""

import torch
from c2l.core import Code2LoRAHead, CommitGRU

TOLERANCE = 1e-5


def reference_head(head):
    """Upstream's head over the very tensors of ours: no copy, whatever the size."""
    config = head.config
    with torch.device("meta"):
        theirs = Code2LoRAHead(
            input_dim=config.context_width,
            type_dims=dict(config.type_dims),
            hidden_dim=config.hidden_width,
            rank=config.rank,
            num_tasks=config.n_tasks,
            task_dim=config.task_width,
        )
    theirs.load_state_dict(head.state_dict(), assign=True)
    return theirs.eval()


def reference_gru(gru):
    """Upstream's gru over the very tensors of ours."""
    config = gru.config
    with torch.device("meta"):
        theirs = CommitGRU(config.diff_width, config.snapshot_width, config.hidden_width)
    theirs.load_state_dict(gru.state_dict(), assign=True)
    return theirs.eval()


def largest_difference(ours, theirs):
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    return float((ours - theirs).abs().max())


def factor_difference(factors, theirs):
    """Largest difference over all A and B; types must agree in number and order."""
    assert list(factors.a) == list(theirs["A"])
    assert list(factors.b) == list(theirs["B"])
    pairs = [(factors.a[t], theirs["A"][t]) for t in factors.a]
    pairs += [(factors.b[t], theirs["B"][t]) for t in factors.b]
    return max(largest_difference(x, y) for x, y in pairs)
