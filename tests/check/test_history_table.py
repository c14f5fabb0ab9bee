"""Followed commits as a table: one line each, the newest first, and what they say together."""

from code2lora_lsp.check.history_table import history_lines
from code2lora_lsp.runtime.commit_records import CommitRecord, Followed


def record(number, time="2026-11-23T05:00:00+00:00", **facts):
    return CommitRecord(f"{number:040x}", None, "c", time, f"Commit {number}", **facts)


def test_commits_are_in_the_order_of_their_time_whatever_the_zone():
    records = (
        record(1, "2026-11-23T05:00:00+00:00"),
        record(2, "2026-11-23T05:30:00+02:00"),
        record(3, "2026-11-23T05:10:00Z"),
    )
    rows = history_lines(Followed(None, records))[1:4]
    assert [row.split()[3] for row in rows] == ["3", "1", "2"]


def test_what_is_not_known_is_a_dash_and_what_was_read_anew_has_a_mark():
    known = record(
        1, n_tokens=1234, distance=0.25, reference_cosine=0.5, step_s=0.4, without_nats=2.0,
        with_nats=1.5, n_scored=100,
    )  # fmt: skip
    anew = record(2, reanchored=True, step_s=12.0)
    rows = history_lines(Followed(None, (known, anew)))[1:3]
    fields = {row.split()[3]: row.split()[4:] for row in rows}
    assert fields["1"] == ["1,234", "0.2500", "0.500", "0.4", "s", "2.000", "1.500", "100"]
    assert fields["2"] == ["-", "-", "-", "12.0", "s*", "-", "-", "0"]


def test_the_lines_of_all_commits_are_summed_up_by_their_tokens():
    records = (
        record(1, without_nats=2.0, with_nats=1.0, n_scored=300),
        record(2, without_nats=1.0, with_nats=2.0, n_scored=100),
        record(3),
    )
    last = history_lines(Followed(None, records))[-1]
    assert last == "400 tokens of 2 commits: 1.750 without, 1.250 with; better in 1 of 2"


def test_without_scores_it_says_how_to_get_some():
    assert "--history 20" in history_lines(Followed(None, (record(1),)))[-1]


def test_a_long_subject_is_cut():
    long = CommitRecord("0" * 40, None, "c", "2026-11-23T05:00:00Z", "word " * 30)
    assert len(history_lines(Followed(None, (long,)))[1]) < 120
