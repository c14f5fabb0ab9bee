"""Recording tensor work as a CUDA graph. Written after torch's notes on CUDA, and unmeasured."""

from collections.abc import Callable

import torch

N_WARM_UPS = 3


def record(work: Callable[[], None]) -> Callable[[], None]:
    """Run ``work`` a few times, then capture it; returns what replays it.

    Warming up, on the very stream of the capture, lets cuBLAS choose its kernels and take its
    workspace, which it may not do while it is captured. Other threads may go on using the device:
    only this one is held to what a capture allows.

    Raises:
        RuntimeError: something in ``work`` cannot be captured, or memory is short.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(N_WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        work()
    return graph.replay
