"""Long work says how much is left, without a terminal too."""

from code2lora_lsp.check.countdown import _Lines, countdown


def test_without_a_terminal_a_line_comes_now_and_then_with_the_time_left(capsys):
    with countdown() as count:
        count("statistics", 0, 2_000)
        count("statistics", 10, 2_000)
    assert capsys.readouterr().err == "statistics: 2,000 to do\n"


def test_the_time_left_is_that_of_what_is_being_done():
    written, now = [], [0.0]
    count = _Lines(written.append, lambda: now[0])
    for now_s, what, n_done in ((0, "a", 0), (5, "a", 10), (20, "a", 50), (30, "b", 1)):
        now[0] = now_s
        count(what, n_done, 100)
    assert written == ["a: 100 to do", "a: 50 of 100, about 20 s left", "b: 100 to do"]
