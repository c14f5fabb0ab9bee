"""Plain lines: not too many, and with the time left."""

import pytest

from code2lora_lsp.repopeftbench.progress import Lines, duration, time_left


def test_lines_come_at_each_beginning_at_the_end_and_every_half_minute():
    now, lines = [0.0], []
    progress = Lines(100, clock=lambda: now[0], write=lines.append)
    progress.begin("bm25-3 on ada/one")
    for _ in range(100):
        now[0] += 1
        progress.advance(1)
    assert lines == [
        "0/100 answers, time left not known yet: bm25-3 on ada/one",
        "30/100 answers, about 70 s left: bm25-3 on ada/one",
        "60/100 answers, about 40 s left: bm25-3 on ada/one",
        "90/100 answers, about 10 s left: bm25-3 on ada/one",
        "100/100 answers, done in 2 min: bm25-3 on ada/one",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (7500, "2 h 5 min")]
)
def test_a_duration_is_as_precise_as_one_wants(seconds, words):
    assert duration(seconds) == words


def test_nothing_done_gives_no_guess():
    assert time_left(0, 5, 10.0) == "time left not known yet"
