"""The calls that record a CUDA graph, in the order torch's notes ask for; there is no card here."""

from contextlib import contextmanager

import pytest
import torch

from code2lora_lsp.neural.cuda_graph import N_WARM_UPS, record


class FakeCuda:
    """What ``record`` uses of ``torch.cuda``; writes down what happens."""

    def __init__(self, monkeypatch):
        self.events = []
        for name in ("Stream", "current_stream", "stream", "CUDAGraph", "graph"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))

    def Stream(self):  # noqa: N802 - torch's name
        return FakeStream("side", self.events)

    def current_stream(self):
        return FakeStream("current", self.events)

    @contextmanager
    def stream(self, stream):
        self.events.append(f"on {stream.name}")
        yield
        self.events.append(f"off {stream.name}")

    def CUDAGraph(self):  # noqa: N802 - torch's name
        return self

    def replay(self):
        self.events.append("replay")

    @contextmanager
    def graph(self, graph, stream, capture_error_mode):
        assert graph is self
        assert capture_error_mode == "thread_local", "other threads may use the device meanwhile"
        self.events.append(f"capture on {stream.name}")
        yield
        self.events.append("captured")


class FakeStream:
    def __init__(self, name, events):
        self.name, self._events = name, events

    def wait_stream(self, other):
        self._events.append(f"{self.name} waits for {other.name}")


def test_work_is_warmed_up_and_captured_on_one_side_stream_and_replayed_without_it(monkeypatch):
    cuda = FakeCuda(monkeypatch)
    replay = record(lambda: cuda.events.append("work"))
    assert cuda.events == [
        "side waits for current", "on side", *["work"] * N_WARM_UPS, "off side",
        "current waits for side", "capture on side", "work", "captured",
    ]  # fmt: skip
    cuda.events.clear()
    replay()
    assert cuda.events == ["replay"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_graph_adds_again_on_the_same_memory():
    total = torch.zeros(1, device="cuda")
    replay = record(lambda: total.add_(1))
    before = int(total)
    replay()
    replay()
    assert int(total) == before + 2
