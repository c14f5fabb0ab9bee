"""What is counted, over which items, against what."""

import json

import pytest
import torch

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.neural.lora import delta_cosine
from code2lora_lsp.repopeftbench.arms.arm import Cost
from code2lora_lsp.repopeftbench.figures import all_figures
from code2lora_lsp.repopeftbench.items import Track
from code2lora_lsp.repopeftbench.metrics import CodeBleu
from code2lora_lsp.repopeftbench.results import read_all_answers
from code2lora_lsp.repopeftbench.runner import Plan, Shard, run
from code2lora_lsp.repopeftbench.scored import score_all
from code2lora_lsp.training.splits import Split, split_of
from tests.fakes import random_adapter
from tests.repopeftbench.made_up import MadeUpArm, an_answer, asked

CODE_BLEU = CodeBleu("half", lambda prediction, reference: 0.5)
HELD_OUT = [f"ada/r{n}" for n in range(40) if split_of(f"ada/r{n}") is not Split.TRAIN][:3]


class ByRule(MadeUpArm):
    """Answers what ``rule(donor, item)`` says: text and nats."""

    def prepare(self, target):
        prepared = super().prepare(target)
        rule, donor = self.rule, target.repository
        prepared.answer = lambda items: [an_answer(*rule(donor, item)) for item in items]
        return prepared


def arm(name, rule, **fields):
    made = ByRule(name, **fields)
    made.rule = rule
    return made


def figures_of(folder, states, *arms, adapters=None, **plan):
    run(Plan(folder, states, arms, "m", **plan), Shard())
    items = {item.item_id: item for one in states for item in one.items}
    return all_figures(score_all(read_all_answers(folder), items, CODE_BLEU), adapters or {})


def the(figures, **fields):
    found = [f for f in figures if all(getattr(f, k) == v for k, v in fields.items())]
    assert len(found) == 1, found
    return found[0]


def right(donor, item):
    return item.target, 1.0


def wrong(donor, item):
    return "nothing", 4.0


def test_scores_count_filtered_items_by_track_and_held_out_repository(tmp_path):
    states = [
        asked(HELD_OUT[0], 6, strata={"filtered": "yes"}),
        asked(HELD_OUT[1], 4, strata={"filtered": "no"}),
        asked(HELD_OUT[2], 2, task="static", track=Track.STATIC),
    ]
    figures = figures_of(tmp_path, states, arm("backbone", wrong), arm("good", right))
    match = the(figures, table="scores", arm="good", metric="exact_match", suite="knowledge CR")
    assert (match.value, match.n_items, match.n_repositories) == (1.0, 6, 1)
    assert {f.suite for f in figures if f.table == "scores"} == {"static CR", "knowledge CR"}
    bleu = the(figures, table="scores", arm="backbone", metric="code_bleu", suite="static CR")
    assert (bleu.value, bleu.n_items) == (0.5, 2)


def test_training_repositories_are_a_suite_of_their_own(tmp_path):
    training = next(n for n in (f"ada/t{i}" for i in range(40)) if split_of(n) is Split.TRAIN)
    figures = figures_of(tmp_path, [asked(training, 3)], arm("backbone", right))
    assert {f.suite for f in figures if f.table == "scores"} == {"knowledge IR"}


def test_differences_are_paired_over_items_both_answered(tmp_path):
    states = [asked(name, 5) for name in HELD_OUT]
    partial = arm("good", right, unreadable=frozenset({HELD_OUT[0]}))
    figures = figures_of(
        tmp_path, states, arm("backbone", lambda d, i: ("", float(i.line))), partial,
        arm("good/mean", wrong),
    )  # fmt: skip
    gain = the(figures, table="differences", arm="good", against="backbone", metric="target_nats")
    assert (gain.value, gain.n_items, gain.n_repositories) == (1.0 - 3.0, 10, 2)
    assert (gain.low, gain.high) == (-2.0, -2.0)
    on_mean = the(
        figures, table="differences", arm="good", against="good/mean", metric="asked_nats"
    )
    assert on_mean.value == 0.5 - 2.0


def test_harm_is_measured_on_items_taken_as_they_come_only(tmp_path):
    states = [
        asked(name, 4, strata={"filtered": f})
        for name, f in zip(HELD_OUT, ["yes", "no", "no"], strict=True)
    ]
    harmful = arm("harmful", lambda d, i: ("", 5.0 if i.strata["filtered"] == "no" else 0.0))
    figures = figures_of(tmp_path, states, arm("backbone", wrong), harmful)
    harm = the(figures, table="harm", metric="nats_per_token")
    assert (harm.arm, harm.value, harm.n_items) == ("harmful", (5.0 - 4.0) / 2, 8)


def test_strata_split_the_items_and_a_stratum_with_one_value_is_none(tmp_path):
    once = asked(HELD_OUT[0], 3, strata={"seen": "once", "form": "fim"})
    more = asked(HELD_OUT[1], 5, strata={"seen": "more", "form": "fim"})
    rule = arm("backbone", lambda d, i: (i.target if i.strata["seen"] == "more" else "", 1.0))
    figures = figures_of(tmp_path, [once, more], rule)
    strata = [f for f in figures if f.table == "strata" and f.metric == "exact_match"]
    assert {(f.stratum, f.value, f.n_items) for f in strata} == {
        ("seen=once", 0.0, 3), ("seen=more", 1.0, 5),
    }  # fmt: skip


def test_own_versus_other_counts_ranks_wins_and_p(tmp_path):
    names = [f"ada/x{n}" for n in range(60) if split_of(f"ada/x{n}") is not Split.TRAIN][:5]
    states = [asked(name, 6) for name in names]
    knowing = arm("knowing", lambda d, i: ("", 1.0 if d == i.repository else 3.0))
    alike = arm("alike", lambda d, i: ("", 2.0))
    figures = figures_of(
        tmp_path, states, knowing, alike, crossed={"knowing", "alike"}, n_crossed_items=4
    )
    table = {
        (f.arm, f.metric): (f.value, f.n_items, f.n_repositories)
        for f in figures
        if f.table == "own-versus-other"
    }
    assert table["knowing", "rank"] == (1.0, 20, 5)
    assert table["knowing", "win_rate"] == (1.0, 20, 5)
    assert table["knowing", "p"] == (pytest.approx(1 / 120), 20, 5)
    assert table["knowing", "asked_nats"][0] == -1.0
    assert table["alike", "rank"][0] == table["alike", "chance_rank"][0] == 3.0
    assert (table["alike", "win_rate"][0], table["alike", "p"][0]) == (0.0, 1.0)
    cell = the(figures, table="matrix", arm="knowing", repository=names[0], donor=names[1])
    assert (cell.value, cell.n_items) == (1.5, 4)


def test_a_repository_that_could_not_be_prepared_leaves_the_others_comparable(tmp_path):
    states = [asked(name, 4) for name in HELD_OUT]
    partial = arm("partial", right, unreadable=frozenset({HELD_OUT[1]}))
    figures = figures_of(tmp_path, states, partial, crossed={"partial"}, n_crossed_items=4)
    assert the(figures, table="own-versus-other", metric="rank").n_repositories == 2


def test_staleness_is_by_commits_behind_and_begins_with_the_fresh_one(tmp_path):
    states = [asked(name, 3) for name in HELD_OUT]
    aging = [
        arm(name, lambda d, i, nats=nats: ("", nats))
        for name, nats in [("evo", 1.0), ("evo/stale:5", 2.0), ("evo/stale:20", 3.0)]
    ]
    figures = figures_of(tmp_path, states, arm("backbone", wrong), *aging)
    decay = {
        f.stratum: f.value for f in figures if f.table == "staleness" and f.metric == "target_nats"
    }
    assert decay == {"behind=0": -3.0, "behind=5": -2.0, "behind=20": -1.0}


def test_costs_are_per_query_per_state_and_per_commit(tmp_path):
    figures = figures_of(tmp_path, [asked(name, 3) for name in HELD_OUT], arm("evo", right))
    cost = {f.metric: f.value for f in figures if f.table == "cost"}
    assert cost == {
        "query_seconds": 0.25, "prompt_tokens": 100.0, "prepare_seconds": 1.5,
        "stored_bytes": 1000.0, "seconds_per_commit": 0.5,
    }  # fmt: skip
    assert sum(f.table == "history" and f.metric == "n_commits" for f in figures) == 3


def test_a_commit_stepped_through_before_does_not_make_the_next_state_look_cheap(tmp_path):
    class Remembering(ByRule):
        def prepare(self, target):
            prepared = super().prepare(target)
            is_first = len([step for step in self.log if step[0] == "prepare"]) == 1
            prepared.cost = Cost(6.0 if is_first else 0.0, n_commits=3)
            return prepared

    states = [asked(HELD_OUT[0], 2), asked(HELD_OUT[0], 2, task="static")]
    arms = [Remembering("evo"), Remembering("evo/mean")]
    for one in arms:
        one.rule = right
    figures = figures_of(tmp_path, states, *arms)
    assert the(figures, metric="seconds_per_commit").value == 2.0
    assert {f.arm for f in figures if f.table == "history"} == {"evo"}


def test_geometry_compares_the_updates_of_every_two_repositories(tmp_path):
    adapters = [random_adapter(seed=seed) for seed in range(3)]
    by_repository = dict(zip(HELD_OUT, adapters, strict=True))
    figures = figures_of(
        tmp_path, [asked(HELD_OUT[0], 1)], arm("evo", right),
        adapters={("evo", "knowledge"): by_repository},
    )  # fmt: skip
    cosines = torch.tensor(
        [delta_cosine(adapters[i], adapters[j]) for i, j in [(0, 1), (0, 2), (1, 2)]]
    )
    assert the(figures, metric="delta_cosine").value == pytest.approx(float(cosines.mean()))
    assert the(figures, metric="delta_cosine_max").value == pytest.approx(float(cosines.max()))


def test_an_answer_without_its_item_is_an_error(tmp_path):
    states = [asked(HELD_OUT[0], 3)]
    run(Plan(tmp_path, states, [arm("backbone", right)], "m"), Shard())
    items = {item.item_id: item for item in states[0].items[:2]}
    with pytest.raises(ConfigError, match=r"which is not among the items"):
        score_all(read_all_answers(tmp_path), items, CODE_BLEU)


def test_every_figure_is_one_line_of_json_without_empty_fields(tmp_path):
    for figure in figures_of(tmp_path, [asked(HELD_OUT[0], 2)], arm("backbone", right)):
        line = json.loads(json.dumps(figure.to_json(), allow_nan=False))
        assert line["table"]
        assert line["arm"] == "backbone"
        assert "" not in line.values()
