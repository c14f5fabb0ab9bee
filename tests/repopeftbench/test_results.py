"""What is written is what is read, and nothing half-written is ever read."""

import pytest

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.repopeftbench.arms.arm import Cost, NotRun
from code2lora_lsp.repopeftbench.results import (
    Origin,
    crossed_path,
    items_digest,
    own_path,
    read_all_answers,
    read_answers,
    read_not_run,
    read_origin,
    state_name,
    write_not_run,
    write_trouble,
    writing_answers,
)
from tests.repopeftbench.made_up import an_answer, an_item, items_of

ORIGIN = Origin(
    arm="arm", repository="ada/one", task="knowledge", donor="ada/one", known_commit_id="d" * 40,
    items_digest="0" * 16, model="model", recipe="recipe", cost=Cost(1.0, 2, 3),
)  # fmt: skip
STATE = state_name("ada/one", "knowledge", "d" * 40)


def test_answers_come_back_as_they_were_written(tmp_path):
    path = own_path(tmp_path, "arm", STATE)
    items = items_of("ada/one", 3)
    answers = [an_answer("größer\n", 0.1 + 0.2), an_answer(identifier_nats=None), an_answer("'\"")]
    with writing_answers(path, ORIGIN) as append:
        for item, answer in zip(items, answers, strict=True):
            append(item, answer)
    read = read_answers(path)
    assert (read.origin, read_origin(path)) == (ORIGIN, ORIGIN)
    assert read.answers == {i.item_id: a for i, a in zip(items, answers, strict=True)}
    assert read_all_answers(tmp_path) == [read]


def test_each_answer_is_on_disk_before_the_next_but_the_file_appears_only_when_complete(tmp_path):
    path = crossed_path(tmp_path, "arm", "ada/two", "ada/one", "knowledge")

    def die_after_one():
        with writing_answers(path, ORIGIN) as append:
            append(an_item(), an_answer())
            (temporary,) = path.parent.iterdir()
            assert len(temporary.read_text().splitlines()) == 2
            assert temporary != path
            assert read_all_answers(tmp_path) == []
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die_after_one()
    assert list(path.parent.iterdir()) == []
    assert read_origin(path) is None


def test_no_two_sets_of_answers_share_a_file(tmp_path):
    arms = ("x", "x/mean", "x/stale:5", "x+1".replace("+", "-"))
    states = [state_name(*s) for s in [("a/b", "t", "1" * 40), ("a/b", "t", "2" * 40),
                                       ("a/b", "u", "1" * 40), ("a/c", "t", "1" * 40)]]  # fmt: skip
    crossings = [("a/b", "a/c", "t"), ("a/c", "a/b", "t"), ("a/b", "a/c", "u")]
    paths = [own_path(tmp_path, arm, state) for arm in arms for state in states]
    paths += [crossed_path(tmp_path, arm, *crossing) for arm in arms for crossing in crossings]
    assert len(set(paths)) == len(paths) == 4 * 4 + 4 * 3
    assert all(":" not in str(path.relative_to(tmp_path)) for path in paths)


@pytest.mark.parametrize("name", ["", "../up", "a+b", ".hidden", "a b", "a=1"])
def test_an_arm_that_cannot_be_a_folder_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="arm name"):
        own_path(tmp_path, name, STATE)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other"}', "not json"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, text):
    path = tmp_path / "answers" / "arm" / "ada+one.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    for read in (read_answers, read_origin):
        with pytest.raises(ConfigError, match=r"ada\+one.jsonl is not a file of answers.*remove"):
            read(path)


def test_items_have_one_digest_and_any_change_has_another():
    items = items_of("ada/one", 3)
    assert items_digest(items) == items_digest(items_of("ada/one", 3))
    assert items_digest(items) != items_digest(items[::-1])
    assert items_digest(items) != items_digest([*items[:2], an_item(2, strata={"seen": "once"})])


def test_what_was_not_run_is_told_once_per_reason(tmp_path):
    write_not_run(tmp_path, [NotRun("dense", "no encoder here", ("a note",))], {"dense", "bm25"})
    for state in ("ada+one.t@1", "ada+two.t@1"):
        write_trouble(tmp_path, "bm25", state, "too short")
    assert read_not_run(tmp_path) == [
        NotRun("dense", "no encoder here", ("a note",)),
        NotRun("bm25", "too short", ("ada+one.t@1", "ada+two.t@1")),
    ]


def test_a_later_run_of_other_arms_forgets_none_that_could_not_run(tmp_path):
    missing = [NotRun(name, "missing") for name in ("a", "b", "c")]
    write_not_run(tmp_path, missing[:2], {"a", "b"})
    write_not_run(tmp_path, missing[2:], {"b", "c"})
    assert read_not_run(tmp_path) == [missing[0], missing[2]]
