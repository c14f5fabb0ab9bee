"""What the engine gets ready after an answer, while nobody waits."""

import gc

import pytest

from tests.fakes import PlantedDecoder
from tests.runtime.running_engine import WAIT_S, Gate, until

LINES = [f"value_{number:02} = compute({number:02})\n" for number in range(40)]


def ask_and_rest(one, marked, **fields):
    """An answer's timings, once the engine has nothing left to do."""
    timings = one.ask(marked, **fields).timings
    until(lambda: not one.engine.is_busy and not one.engine._binding.completer._next)
    return timings


def test_no_key_waits_for_a_window_to_jump(start):
    """Typed on and on, the window must jump; what that costs is read between the keys."""
    one = start(PlantedDecoder("z\n"), prompt_tokens=400, suffix_tokens=20)
    text, starts, longest = "".join(LINES[:10]), set(), 0
    ask_and_rest(one, text + "|\n")
    for typed in "".join(LINES[10:]):
        text += typed
        timings = ask_and_rest(one, text + "|\n")
        longest = max(longest, timings.prompt_tokens - timings.reused_tokens)
        starts.add(len(text) - timings.prompt_tokens)
    assert len(starts) > 3, "it jumped more than once"
    assert longest <= 2


def test_a_suggestion_that_is_accepted_was_read_before(start):
    one = start(PlantedDecoder("compute(a)"))
    ask_and_rest(one, "x = |\n")
    n_passes = len(one.decoder.passes)
    one.decoder.answer = lambda _: ""
    one.ask("x = compute(a)|\n")
    assert len(one.decoder.passes) == n_passes


def test_a_bracket_that_the_editor_closes_was_read_before(start):
    """But for the first one, from which it is known that this editor closes them."""
    one = start(PlantedDecoder("z\n"), prompt_tokens=800, suffix_tokens=300)
    behind = "|\n" + "".join(LINES[:20])
    unread = []
    for typed in ("x = f", "x = f(", "x = f(a", "x = f(a, g", "x = f(a, g("):
        closed = ")" * typed.count("(")
        timings = ask_and_rest(one, typed + behind.replace("|", "|" + closed))
        unread.append(timings.prompt_tokens - timings.reused_tokens)
    assert unread[1] > 250
    assert max(unread[2:]) < 10


@pytest.mark.parametrize("order", ["spm", "psm"])
def test_what_stands_behind_a_suggestion_stays_read_beside_what_a_bracket_makes(
    start, order, monkeypatch
):
    one = start(PlantedDecoder("compute(a)"), order=order)
    above, behind = "".join(LINES[:9]), "|\n" + "".join(LINES[:5])
    for typed in ("x = f", "x = f("):
        ask_and_rest(one, above + typed + behind.replace("|", "|" + ")" * typed.count("(")))
    ask_and_rest(one, above + "y = " + behind)
    session, unread = one.engine._binding.session, []
    feed = session.feed

    def watched(token_ids, check):
        unread.append(session.missing(token_ids))
        return feed(token_ids, check)

    monkeypatch.setattr(session, "feed", watched)
    one.ask(above + "y = compute(a)" + behind)
    assert unread[0] == 0


def test_a_bracket_that_the_editor_leaves_open_costs_nothing(start):
    one = start(PlantedDecoder("z\n"))
    behind = "|\n" + "".join(LINES[:20])
    for typed in ("x = f", "x = f(", "x = f(a"):
        ask_and_rest(one, typed + behind)
    n_read = sum(size for _, size in one.decoder.passes)
    ask_and_rest(one, "x = f(ab" + behind)
    assert sum(size for _, size in one.decoder.passes) - n_read < 20


def test_getting_ready_gives_way_to_a_request(start):
    one = start(PlantedDecoder("z\n"), prompt_tokens=400, suffix_tokens=20)
    gate, passes = Gate(), one.decoder.passes

    def hold_what_is_read_after_decoding():
        sizes = [size for _, size in passes]
        if 1 in sizes[:-1] and sizes[-1] > 1:
            gate()

    one.decoder.before_step = hold_what_is_read_after_decoding
    one.submit("".join(LINES[:15]) + "|\n").result(WAIT_S)
    assert gate.reached.wait(WAIT_S), "a window this full jumps while idle"
    n_passes = len(passes)
    found = one.submit("y = |\n", uri="file:///b.py")
    gate.open.set()
    assert found.result(WAIT_S).text == "z"
    assert passes[n_passes][1] < 64, "the other chunks were not run"


def test_collecting_garbage_does_not_walk_what_was_loaded(start):
    before = gc.get_freeze_count()
    start()
    assert gc.get_freeze_count() > before
