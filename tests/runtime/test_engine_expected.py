"""A place where the cursor rests is read before anyone asks there."""

import threading

import pytest

from code2lora_lsp.cancellation import Cancelled
from code2lora_lsp.runtime import expected, later
from tests.fakes import PlantedDecoder, random_adapter
from tests.runtime.running_engine import WAIT_S, Gate, Running, known, request, slot_with, until

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


def n_read(one):
    return sum(size for _, size in one.decoder.passes)


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
    assert n_read(one) < 450, "one place, and one chunk of another"
    assert n_unread(one.ask(f"1{PLACE}", uri="file:///1.py")) <= 2
    assert n_unread(one.ask(f"0{PLACE}", uri="file:///0.py")) > 200


def test_a_request_comes_first_whatever_is_expected(start):
    one, gate = start(PlantedDecoder("z\n")), Gate()
    one.decoder.before_step = gate
    asked = one.submit("x = |\n")
    assert gate.reached.wait(WAIT_S)
    other, read_before = one.submit("y = |\n", uri="file:///b.py"), []
    other.add_done_callback(lambda _: read_before.append(n_read(one)))
    one.engine.expect(request(PLACE))
    one.decoder.before_step = lambda: None
    gate.open.set()
    assert asked.result(WAIT_S).text
    until_at_rest(one)
    assert read_before[0] < 50
    assert n_unread(one.ask(PLACE)) <= 2


def test_after_a_request_nothing_is_expected_until_it_is_told(start):
    one, gate = start(PlantedDecoder("z\n")), Gate()
    one.decoder.before_step = gate
    asked = one.submit("x = |\n")
    assert gate.reached.wait(WAIT_S)
    one.engine.expect(request(PLACE))
    one.submit("y = |\n", uri="file:///b.py")
    one.decoder.before_step = lambda: None
    gate.open.set()
    assert asked.result(WAIT_S).text
    until_at_rest(one)
    assert n_unread(one.ask(PLACE)) > 200


def test_a_place_told_while_the_model_loads_is_read_once_it_has(start):
    may_load = threading.Event()

    def load(report):
        assert may_load.wait(WAIT_S)
        return one._load(report)

    one = Running(PlantedDecoder("z\n"), load)
    one.engine.expect(request(PLACE))
    may_load.set()
    until_at_rest(one)
    assert n_unread(one.ask(PLACE)) <= 2
    assert one.engine.close(WAIT_S)


def test_what_is_excluded_is_not_read_and_nothing_else_in_its_place(start):
    one, gate = start(PlantedDecoder("z\n"), exclude=("secret_*",)), Gate()
    one.decoder.before_step = gate
    asked = one.submit("x = |\n", uri="file:///b.py")
    assert gate.reached.wait(WAIT_S)
    one.engine.expect(request(PLACE))
    one.engine.expect(request(PLACE, uri="file:///secret_plan.py", path="secret_plan.py"))
    one.decoder.before_step = lambda: None
    gate.open.set()
    assert asked.result(WAIT_S).text
    until_at_rest(one)
    assert n_read(one) < 100


def test_work_for_later_gives_way_to_it(start):
    one, begun, may_end = start(PlantedDecoder("z\n")), threading.Event(), threading.Event()

    def work(_model, check):
        begun.set()
        while not may_end.wait(0.002):
            check()

    one.engine.when_idle(work)
    assert begun.wait(WAIT_S)
    one.engine.expect(request(PLACE))
    until(lambda: n_read(one) > 200)
    may_end.set()
    until_at_rest(one)


def test_what_is_no_longer_followed_is_not_read_nor_kept(start):
    one, gate, slot = start(PlantedDecoder("z\n")), Gate(), slot_with(3)
    one.decoder.before_step = gate
    asked = one.submit("x = |\n", uri="file:///b.py")
    assert gate.reached.wait(WAIT_S)
    one.engine.expect(request(PLACE), slot)
    one.engine.release(slot)
    one.decoder.before_step = lambda: None
    gate.open.set()
    assert asked.result(WAIT_S).text
    until_at_rest(one)
    assert {bound for bound, _ in one.decoder.passes} == {None}


def test_an_engine_that_has_ended_keeps_no_document(start):
    one = start(PlantedDecoder("z\n"))
    assert one.engine.close(WAIT_S)
    one.engine.expect(request(PLACE))
    assert not one.engine._expected.is_waiting


def test_a_reading_that_fails_is_told_of_and_completions_go_on(start):
    one = start(PlantedDecoder("z\n"))

    def fail():
        raise RuntimeError("it broke")

    one.decoder.before_step = fail
    rested(one, PLACE)
    one.decoder.before_step = lambda: None
    assert len(one.incidents) == 1
    assert one.ask("x = |\n").text


def test_a_slow_model_reads_a_part_and_keeps_it(start, monkeypatch):
    monkeypatch.setattr(expected, "LONGEST_READING_S", 0.0)
    one = start(PlantedDecoder("z\n"))
    one.engine.expect(request(PLACE))
    until_at_rest(one)
    assert one.ask("x = |\n", uri="file:///b.py").text
    assert one.ask("x = z|\n", uri="file:///b.py") is not None, "typed through, without the model"
    until_at_rest(one)
    assert n_read(one) < 100


def test_a_check_ends_with_the_one_it_wraps():
    place = expected.Expected()

    def stopped():
        raise Cancelled("stopping")

    with pytest.raises(Cancelled, match="stopping"):
        place.reading_check(stopped)()
    place.reading_check(lambda: None)()
