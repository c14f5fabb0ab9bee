"""Tables show every figure, the verdicts that must not be missed, and who did not run."""

import pytest

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.repopeftbench.arms.arm import NotRun
from code2lora_lsp.repopeftbench.figure import Figure
from code2lora_lsp.repopeftbench.plots import draw_all
from code2lora_lsp.repopeftbench.report import Report, as_markdown

SUITE = "knowledge CR"


def a_score(arm, metric, value, low=None, high=None, **fields):
    return Figure("scores", arm, metric, value, low, high, 40, 4, suite=SUITE, **fields)


def a_difference(arm, value, table="differences", metric="asked_nats", **fields):
    given = {"suite": SUITE, "against": "backbone", "n_items": 40, "n_repositories": 4} | fields
    return Figure(table, arm, metric, value, value - 0.1, value + 0.1, **given)


def some_figures():
    arms = ("evo", "backbone")
    yield from (a_score(arm, "exact_match", 0.457, 0.401, 0.512) for arm in arms)
    yield from (a_score(arm, "edit_similarity", 0.605) for arm in arms)
    yield from (a_score(arm, "code_bleu", 0.646) for arm in arms)
    yield from (a_score(arm, "plain_match", 0.25) for arm in arms)
    yield a_difference("evo", -0.75)
    yield a_difference("evo", -0.25, against="evo/mean")
    yield a_difference("nearest-snippet", -0.4)
    for behind, value in ((0, -0.7), (1, -0.6), (20, -0.1)):
        yield a_difference("evo", value, "staleness", stratum=f"behind={behind}")
    yield a_difference("evo", 0.031, "harm", "nats_per_token")
    for metric, value in (("exact_match", 0.5), ("asked_nats", 7.25)):
        yield Figure("strata", "evo", metric, value, n_items=9, suite=SUITE, stratum="seen=once")
    for metric, value in (
        ("rank", 1.25), ("win_rate", 0.75), ("chance_rank", 2.5), ("p", 1 / 24),
        ("asked_nats", -0.5),
    ):  # fmt: skip
        yield Figure(
            "own-versus-other", "evo", metric, value, n_items=20, n_repositories=4, suite=SUITE
        )
    for row in "abcd":
        for donor in "abcd":
            yield Figure(
                "matrix", "evo", "asked_nats", 2.0 + (row != donor), suite=SUITE,
                repository=f"ada/{row}", donor=f"ada/{donor}",
            )  # fmt: skip
    for metric, value in (("delta_cosine", 0.149), ("delta_cosine_max", 0.171)):
        yield Figure("geometry", "evo", metric, value, n_repositories=4, stratum="knowledge")
    yield Figure("cost", "evo", "query_seconds", 0.2, 0.1, 0.3, 40, 4)
    yield Figure("cost", "evo", "seconds_per_commit", 0.0625)
    for name, n_commits, seconds in (("ada/a", 10, 2.0), ("ada/b", 1000, 190.0)):
        yield Figure("history", "evo", "n_commits", float(n_commits), repository=name)
        yield Figure("history", "evo", "prepare_seconds", seconds, repository=name)


@pytest.fixture(scope="module")
def markdown():
    not_run = [NotRun("dense-3", "no encoder"), NotRun("evo", "too short", ("ada+c.knowledge@1",))]
    report = Report(list(some_figures()), not_run, "the fallback", {"model": "nano (1234)"})
    return as_markdown(report, [("A picture", "a.png")])


@pytest.mark.parametrize(
    "line",
    [
        "| arm | CR EM % | CR EditSim | CR CodeBLEU | n |",
        "| backbone | 45.7 [40.1, 51.2] | 0.605 | 0.646 | 40 |",
        "| evo | 25.0 | - | - | - | -0.750 [-0.850, -0.650] | -0.250 [-0.350, -0.150] | 40 (4) |",
        "| knowledge CR | evo | 1.25 (2.5) | 75 | 0.0417 | -0.500 | 20 (4) |",
        "| evo | knowledge | 0.149 | 0.171 | 4 |",
        "| arm | once (n 9) |",
        "| evo | 50.0 / 7.25 |",
        "| knowledge CR | evo | 0.031 [-0.069, 0.131] | - | 40 |",
        "| suite | arm | k = 0 | k = 1 | k = 20 |",
        "| evo | 0.200 [0.100, 0.300] | - | - | 0.062 | - |",
        "| dense-3 | no encoder | everywhere |",
        "| evo | too short | ada+c.knowledge@1 |",
        "| model | nano (1234) |",
        "![A picture](a.png)",
        "CodeBLEU: the fallback. Every number is in `results.jsonl`.",
    ],
)
def test_each_table_has_its_line(markdown, line):
    assert line in markdown.splitlines()


def test_arms_come_as_the_paper_lists_them_each_before_what_is_derived_of_it():
    names = [
        "backbone", "bm25-3", "full-fine-tuning-bm25-3", "code2lora-evo", "code2lora-evo/mean",
        "code2lora-evo/stale:1", "code2lora-evo/stale:5", "code2lora-evo/stale:20", "our-own",
        "our-own/mean",
    ]  # fmt: skip
    text = as_markdown(Report([a_score(n, "exact_match", 0.5) for n in sorted(names)], [], "x"))
    rows = [line.split(" | ")[0][2:] for line in text.splitlines() if line.endswith("| 40 |")]
    assert rows == names


def test_demand_under_half_a_nat_fails_in_plain_words(markdown):
    assert "knowledge CR: FAILS" in markdown
    enough = [a_score("backbone", "exact_match", 0.1), a_difference("nearest-snippet", -0.5)]
    assert "knowledge CR: holds" in as_markdown(Report(enough, [], "x"))


def test_tables_without_figures_are_left_out_but_not_who_did_not_run():
    text = as_markdown(Report([a_score("backbone", "exact_match", 0.1)], [], "x"))
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## As published: EM / EditSim / CodeBLEU",
        "## knowledge CR: without the published allowances", "## Cost", "## Not run",
    ]  # fmt: skip


def test_a_reason_cannot_break_the_table():
    text = as_markdown(Report([a_score("b", "exact_match", 0)], [NotRun("x", "a|b\nc")], "x"))
    assert "| x | a\\|b c | everywhere |" in text


def test_pictures_are_drawn_opaque_for_any_viewer(tmp_path):
    import matplotlib.image

    drawn = draw_all(list(some_figures()), tmp_path)
    assert {name for _, name in drawn} == {path.name for path in tmp_path.iterdir()} == {
        "exact-match-knowledge-cr.png", "own-versus-other-knowledge-cr-evo.png",
        "staleness-knowledge-cr.png", "cost-by-history.png",
    }  # fmt: skip
    for _, name in drawn:
        pixels = matplotlib.image.imread(tmp_path / name)
        assert pixels[0, 0].tolist() == [1.0] * 4
        assert (pixels[..., 3] == 1).all()
        assert pixels[..., :3].min() < 0.3


def test_without_matplotlib_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r'pip install "code2lora-lsp\[bench\]"'):
        draw_all([], tmp_path)
