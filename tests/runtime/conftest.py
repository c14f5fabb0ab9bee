"""A running engine for every test that asks for one."""

import pytest

from tests.runtime.running_engine import WAIT_S, Running


@pytest.fixture
def start():
    running = []

    def make(*arguments, **named):
        running.append(Running(*arguments, **named))
        return running[-1].wait_ready()

    yield make
    for one in running:
        one.decoder.before_step = lambda: None
        assert one.engine.close(WAIT_S)
