"""What is offered at a cursor, and which documents never reach the model."""

import threading
from dataclasses import replace

import pytest

from code2lora_lsp.runtime.api import (
    Completion,
    Reason,
    Trigger,
)
from tests.fakes import PlantedDecoder
from tests.runtime.running_engine import slot_with


def test_a_completion_is_the_planted_line_at_the_cursor(start):
    one = start(PlantedDecoder("compute(a)\nnext"))
    found = one.ask("x = |\ny = 1\n")
    assert (found.text, found.start, found.end) == ("compute(a)", 4, 4)
    assert found.adapter_id is found.adapter_commit is None
    assert -0.01 < found.log_probability < 0
    assert found.timings.prompt_tokens == 3 + 4 + 7
    assert found.timings.new_tokens == len("compute(a)\n")
    assert one.engine.status.last_timings == found.timings
    assert one.decoder.threads.isdisjoint({threading.get_ident()}), "decoding has its own thread"


def test_invoked_asks_for_several_lines(start):
    one = start(PlantedDecoder("1\n    return a\n\ndef g():\n"))
    assert one.ask("def f():\n    a = |\n").text == "1"
    found = one.ask("def f():\n    a = |\n", trigger=Trigger.INVOKED)
    assert found.text == "1\n    return a"


@pytest.mark.parametrize("marked", ["def f():|\n", "class A:\n  def f():|\n\n  def g(): ...\n"])
def test_where_a_block_begins_its_lines_come_while_typing(start, marked):
    one = start(PlantedDecoder("\n    a = 1\n    return a\n\n"))
    assert one.ask(marked).text == "\n    a = 1\n    return a"


@pytest.mark.parametrize("marked", ["def f():|\n    b()\n", "x = {|\n", 'x = "a:|\n', "# a:|\n"])
def test_elsewhere_one_line_comes_while_typing(start, marked):
    one = start(PlantedDecoder("a\n    b\n    c\n"))
    assert one.ask(marked).text == "a"


def test_crlf_is_lf_to_the_model_and_comes_back(start):
    one = start(PlantedDecoder("\n    return 1\n"))
    found = one.ask("def f():|\r\ng()\r\n", trigger=Trigger.INVOKED)
    assert found.text == "\r\n    return 1"
    assert ord("\r") + 8 not in one.engine._binding.session.tokens


@pytest.mark.parametrize("marked", ["'\ud83d'; x = |\n", "x = |\n'\udc00'\n"])
def test_half_a_surrogate_pair_is_one_character_that_does_not_matter(start, marked):
    found = start(PlantedDecoder("compute(a)\n")).ask(marked)
    assert (found.text, found.start) == ("compute(a)", marked.index("|"))


def test_a_selected_item_is_extended_and_replaced_as_a_whole(start):
    one = start(PlantedDecoder("(a)\n"))
    found = one.ask("x = app|\n", selected_text="append", selected_start=4)
    assert (found.text, found.start, found.end) == ("append(a)", 4, 7)


def test_typing_through_needs_no_model_call(start):
    one = start(PlantedDecoder("compute(a)\n"))
    assert one.ask("x = |\n").text == "compute(a)"
    n_passes = len(one.decoder.passes)
    for typed in range(1, len("compute(a)")):
        shown = one.ask(f"x = {'compute(a)'[:typed]}|\n", version=typed)
        assert shown.text == "compute(a)"[typed:]
    assert len(one.decoder.passes) == n_passes
    one.ask("x = cos|\n")
    assert len(one.decoder.passes) > n_passes, "departing from it asks the model"


def test_typing_through_ends_with_another_suffix_document_or_adapter(start):
    one = start(PlantedDecoder("compute(a)\n"))
    for change in ({"marked": "x = c|\nz\n"}, {"marked": "x = c|\n", "uri": "file:///b.py"}):
        one.ask("x = |\n")
        assert one.ask(**change).timings.new_tokens > 0, "the model was asked"
    one.ask("x = |\n")
    assert one.ask("x = c|\n").timings.new_tokens == 0
    assert one.ask("x = c|\n", slot_with(1)).timings.new_tokens > 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"uri": "file:///home/me/.env"}, Reason.SECRET),
        ({"uri": "file:///x.py", "path": ".ssh/id_rsa"}, Reason.SECRET),
        ({"uri": "file:///home/me/%2Eenv"}, Reason.SECRET),
        ({"uri": "file://[bad/me/.env"}, Reason.SECRET),
    ],
)
def test_secret_files_never_reach_the_model(start, fields, reason):
    one = start()
    assert one.ask("x = |\n", **fields).reason is reason
    assert one.decoder.passes == []


@pytest.mark.parametrize("path", ["vault/deep/keys.py", "generated_api.py", "a/generated_b.py"])
def test_excluded_files_never_reach_the_model(start, path):
    one = start(exclude=("/vault/", "generated_*.py", "!generated_kept.py"))
    assert one.ask("x = |\n", path=path).reason is Reason.EXCLUDED
    assert one.decoder.passes == []


@pytest.mark.parametrize(
    "uri",
    [
        "file:///home/me/work/vault/deep/keys.py",
        "file:///vault/keys.py",
        "file:///home/me/generated%5Fapi.py",
        "vscode-notebook-cell:/home/me/vault/notes.ipynb#C3",
        "untitled:generated_api.py",
        "file://[bad/vault/keys.py",
    ],
)
def test_in_no_known_work_tree_an_exclude_pattern_holds_from_any_folder_on(start, uri):
    one = start(exclude=("/vault/", "generated_*.py", "!generated_kept.py"))
    assert one.ask("x = |\n", uri=uri).reason is Reason.EXCLUDED
    assert one.decoder.passes == []


@pytest.mark.parametrize(
    "uri", ["file:///home/me/generated_kept.py", "file:///vault.py", "file://[bad"]
)
def test_in_no_known_work_tree_other_files_are_completed(start, uri):
    one = start(exclude=("/vault/", "generated_*.py", "!generated_kept.py"))
    assert isinstance(one.ask("x = |\n", uri=uri), Completion)


def test_files_that_no_exclude_pattern_names_are_completed(start):
    one = start(exclude=("/vault/", "generated_*.py", "!generated_kept.py"))
    for path in ("src/vault/keys.py", "generated_kept.py", "vault.py", None):
        assert isinstance(one.ask("x = |\n", path=path), Completion), path


def test_large_documents_never_reach_the_model(start):
    one = start(max_document_chars=100)
    assert one.ask("#" * 101 + "|").reason is Reason.TOO_LARGE
    assert one.decoder.passes == []
    assert isinstance(one.ask("#" * 100 + "|"), Completion)


def test_an_unsure_completion_is_withheld(start):
    decoder = PlantedDecoder("answer\n")
    one = start(decoder, min_confidence=0.5)
    assert isinstance(one.ask("x = |\n"), Completion)
    decoder.peak = 2.0
    assert one.ask("y = |\n").reason is Reason.LOW_CONFIDENCE


def test_special_and_surplus_ids_are_never_text(start):
    """The likeliest id is a banned one in every step; the answer comes out all the same."""
    decoder = PlantedDecoder("answer\n")
    decoder.vocabulary_size += 3  # embeddings beyond the tokenizer's ids
    plain_step = decoder._step

    def step(*arguments):
        logits = plain_step(*arguments)
        logits[[5, 6, 7, -1, -2]] = 50.0
        return logits

    decoder._step = step
    assert start(decoder).ask("x = |\n").text == "answer"


def test_end_of_text_ends_the_completion(start):
    assert start(PlantedDecoder("short")).ask("x = |\n").text == "short"
    assert start(PlantedDecoder("")).ask("x = |\n").reason is Reason.EMPTY


def test_equal_requests_have_equal_answers(start):
    one = start()
    first, second = (one.ask("x = |\n", uri=f"file:///{i}.py") for i in range(2))
    assert replace(first, timings=None) == replace(second, timings=None)


def test_a_model_that_runs_in_circles_is_stopped_after_its_first_round(start):
    one = start(PlantedDecoder("1, " * 16))
    assert one.ask("x = f(|\n").text.rstrip() == "1,"
    assert len(one.decoder.passes) < 12
