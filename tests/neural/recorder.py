"""A stand-in for a CUDA graph: runs the kernels of some work again on the same memory.

Like a graph it keeps addresses and the numbers that came from Python as they were, so whatever the
work asks Python for is stale when it is replayed.
"""

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Listening(TorchDispatchMode):
    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result


class Recorder:
    """``record`` is a ``fixed_passes.Record``.

    Attributes:
        n_recorded: how often something was.
        kernels: names of all that was run while recording.
    """

    def __init__(self):
        self.n_recorded = 0
        self.kernels = set()

    def record(self, work):
        calls = []
        with _Listening(calls):
            work()
        self.n_recorded += 1
        self.kernels |= {str(func) for func, *_ in calls}

        def replay():
            for func, args, kwargs, kept in calls:
                again = func(*args, **kwargs)
                for one, other in zip(tree_leaves(kept), tree_leaves(again), strict=True):
                    if hasattr(one, "data_ptr") and one.data_ptr() != other.data_ptr():
                        one.copy_(other)

        return replay


class Broken(Recorder):
    """Fails from the ``n``-th recording on, as a capture does that meets what CUDA forbids."""

    def __init__(self, n):
        super().__init__()
        self._n = n

    def record(self, work):
        if self.n_recorded >= self._n:
            raise RuntimeError("operation not permitted when stream is capturing\nand a long tail")
        return super().record(work)
