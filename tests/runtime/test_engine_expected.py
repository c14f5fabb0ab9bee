"""A place where the cursor rests is read before anyone asks there."""

import threading

import pytest

from code2lora_lsp.cancellation import Cancelled
from code2lora_lsp.runtime import expected, later
from tests.fakes import PlantedDecoder, random_adapter
from tests.runtime.running_engine import WAIT_S, Gate, known, request, slot_with, until

LINES = [f"value_{number:02} = compute({number:02})\n" for number in range(20)]
PLACE = "".join(LINES[:10]) + "x = |\n" + "".join(LINES[10:])


@pytest.fixture(autouse=True)
def _idle_at_once(monkeypatch):
    monkeypatch.setattr(later, "IDLE_AFTER_S", 0.0)


def rested(one, marked, slot=None, **fields):
    """Once the place is read."""
    one.engine.expect(request(marked, **fields), slot)
    until_at_rest(one)


def until_at_rest(one):
    """Work for later comes after all else."""
    is_at_rest = threading.Event()
    one.engine.when_idle(lambda _model, _check: is_at_rest.set())
    assert is_at_rest.wait(WAIT_S)


def n_unread(result):
    return result.timings.prompt_tokens - result.timings.reused_tokens


def test_the_first_key_there_finds_its_prompt_read(start):
    one = start(PlantedDecoder("z\n"))
    rested(one, PLACE)
    assert n_unread(one.ask(PLACE.replace("|", "y|"))) <= 2


def test_without_it_that_key_reads_all_of_it(start):
    one = start(PlantedDecoder("z\n"))
    assert n_unread(one.ask(PLACE.replace("|", "y|"))) > 200


def test_what_is_known_of_the_places_repository_is_bound_first(start):
    one, slot = start(PlantedDecoder("z\n")), slot_with(3)
    rested(one, PLACE, slot)
    adapter_id = slot.current.adapter.adapter_id
    assert {bound for bound, _ in one.decoder.passes} == {adapter_id}
    n_passes = len(one.decoder.passes)
    slot.publish(known(random_adapter(seed=4)))
    until(lambda: len(one.decoder.passes) > n_passes)
    assert one.decoder.passes[-1][0] == slot.current.adapter.adapter_id, "its news are heard"


def test_the_newest_place_ousts_one_that_is_being_read(start):
    one, gate = start(PlantedDecoder("z\n")), Gate()
    one.decoder.before_step = gate
    one.engine.expect(request(PLACE))
    assert gate.reached.wait(WAIT_S)
    for number in range(2):
        one.engine.expect(request(f"{number}{PLACE}", uri=f"file:///{number}.py"))
    one.decoder.before_step = lambda: None
    gate.open.set()
    until_at_rest(one)
    assert n_unread(one.ask(f"1{PLACE}", uri="file:///1.py")) <= 2
    assert n_unread(one.ask(f"0{PLACE}", uri="file:///0.py")) > 200


def test_a_request_comes_first_and_then_nothing_is_expected(start):
    one, gate = start(PlantedDecoder("z\n")), Gate()
    one.decoder.before_step = gate
    asked = one.submit("x = |\n")
    assert gate.reached.wait(WAIT_S)
    one.engine.expect(request(PLACE))
    other = one.submit("y = |\n", uri="file:///b.py")
    one.decoder.before_step = lambda: None
    gate.open.set()
    assert asked.result(WAIT_S).text
    assert other.result(WAIT_S).text
    until_at_rest(one)
    assert n_unread(one.ask(PLACE)) > 200


def test_what_is_excluded_is_not_read(start):
    one = start(PlantedDecoder("z\n"), exclude=("secret_*",))
    one.engine.expect(request(PLACE, uri="file:///secret_plan.py", path="secret_plan.py"))
    one.ask("x = |\n", uri="file:///b.py")
    assert sum(size for _, size in one.decoder.passes) < 100


def test_a_slow_model_reads_a_part_and_keeps_it(start, monkeypatch):
    monkeypatch.setattr(expected, "LONGEST_READING_S", 0.0)
    one = start(PlantedDecoder("z\n"))
    one.engine.expect(request(PLACE))
    until_at_rest(one)
    assert one.ask("x = |\n", uri="file:///b.py").text
    assert sum(size for _, size in one.decoder.passes) < 100


def test_a_check_ends_with_the_one_it_wraps():
    place = expected.Expected()

    def stopped():
        raise Cancelled("stopping")

    with pytest.raises(Cancelled, match="stopping"):
        place.reading_check(stopped)()
    place.reading_check(lambda: None)()
