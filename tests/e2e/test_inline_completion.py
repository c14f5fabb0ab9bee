"""Ghost text over the wire: versions, ranges, encodings, cancellation."""

import itertools

import pytest

from tests.e2e.client import CANCELLED, INLINE, position, uri_of
from tests.e2e.fake import FakeClient, fake_client, plan

_names = (f"doc{n}.py" for n in itertools.count())


@pytest.fixture(scope="module")
def client():
    with fake_client() as client:
        client.initialize()
        yield client.wait_ready()


@pytest.fixture
def name():
    return next(_names)


def last_request(client: FakeClient) -> dict:
    return client.inside()["requests"][-1]


def test_item_always_has_a_range(client, name):
    client.open(name, plan("return 1") + "def f():\n    \n")
    (item,) = client.inline(name, 2, 4)
    here = position(2, 4)
    assert (item["insertText"], item["range"]) == ("return 1", {"start": here, "end": here})


def test_a_replacement_covers_what_it_replaces_on_one_line(client, name):
    client.open(name, plan("print(x)", start=-2, end=1) + "pr)\n")
    (item,) = client.inline(name, 1, 2)
    assert item["range"] == {"start": position(1, 0), "end": position(1, 3)}


@pytest.mark.parametrize("end", [1, 4000], ids=["over a line break", "beyond the text"])
def test_a_proposal_that_spans_lines_is_not_passed_on(client, name, end):
    client.open(name, plan("oops", end=end) + "ab\ncd\n")
    assert client.inline(name, 1, 2) == []
    assert client.status()["lastEmpty"]["reason"] == "FILTERED"


def test_empty_answer_is_a_list_not_null(client, name):
    client.open(name, plan(reason="LOW_CONFIDENCE", detail="p = 0.1"))
    assert client.ask_inline(name, 1, 0).result() == {"items": []}
    last = client.status()["lastEmpty"]
    assert (last["reason"], last["detail"]) == ("LOW_CONFIDENCE", "p = 0.1")


def test_an_unknown_document_gets_an_empty_list(client):
    assert client.inline("never-opened.py", 0, 0) == []


def test_completion_for_an_old_version_is_empty(client, name):
    client.open(name, plan(delay_s=5) + "x")
    asked = client.ask_inline(name, 1, 1)
    client.wait_until(lambda: client.inside()["alive"])
    client.edit(name, (1, 1), (1, 1), "y")
    assert asked.result() == {"items": []}
    assert asked.took_s < 4, "answered at the change, not after the decode"
    client.wait_until(lambda: not client.inside()["alive"])


def test_a_request_that_is_overtaken_by_a_change_is_never_decoded(client, name):
    """Both messages arrive in one read: the text the handler sees is newer than the position."""
    client.open(name, plan() + "abc")
    before = len(client.inside()["requests"])
    identifier = {"uri": uri_of(name)}
    context = {"triggerKind": 2}
    where = {"textDocument": identifier, "position": position(1, 3), "context": context}
    change = {"textDocument": {**identifier, "version": 2}, "contentChanges": [{"text": plan()}]}
    asked = client.request_then_notify(
        ("textDocument/inlineCompletion", where), ("textDocument/didChange", change)
    )
    assert asked.result() == {"items": []}
    assert len(client.inside()["requests"]) == before


def test_a_request_for_a_version_the_server_does_not_have_is_empty(client, name):
    client.open(name, plan() + "x", version=7)
    assert client.inline(name, 1, 1, version=6) == []
    assert "version 6" in client.status()["lastEmpty"]["detail"]
    assert len(client.inline(name, 1, 1, version=7)) == 1


def test_copilot_extras_are_accepted(client, name):
    client.open(name, plan() + "x")
    options = {"tabSize": 4, "insertSpaces": True}
    reply = client.ask_inline(name, 1, 1, version=1, formattingOptions=options)
    assert len(reply.result()["items"]) == 1


def test_cancelled_request_is_answered_once(client, name):
    client.open(name, plan(delay_s=5))
    before = len(client.inside()["cancelled"])
    asked = client.ask_inline(name, 1, 0)
    client.wait_until(lambda: client.inside()["alive"])
    client.cancel(asked)
    assert asked.error().code == CANCELLED
    client.wait_until(lambda: not client.inside()["alive"])
    assert client.inside()["cancelled"][before:] == ["the editor cancelled the request"]
    client.cancel(asked)
    assert client.inside()["pending"] == 0
    assert len(asked.answers) == 1


def test_a_cancel_does_not_break_an_engine_that_answers_anyway(client, name):
    client.open(name, plan(delay_s=0.3, deaf=True))
    asked = client.ask_inline(name, 1, 0)
    client.wait_until(lambda: client.inside()["alive"])
    client.cancel(asked)
    assert asked.error().code == CANCELLED
    client.wait_until(lambda: not client.inside()["alive"])
    assert len(asked.answers) == 1


def test_neovim_style_never_cancelled_requests_get_one_answer_each(client, name):
    client.open(name, plan("late", delay_s=0.3))
    asked = [client.ask_inline(name, 1, 0) for _ in range(30)]
    assert [reply.result()["items"] for reply in asked[:-1]] == [[]] * 29
    assert len(asked[-1].result()["items"]) == 1
    assert {len(reply.answers) for reply in asked} == {1}
    client.wait_until(lambda: not client.inside()["alive"])


def test_documents_do_not_supersede_one_another(client, name):
    other = next(_names)
    client.open(name, plan(delay_s=0.2))
    client.open(other, plan(delay_s=0.2))
    both = [client.ask_inline(name, 1, 0), client.ask_inline(other, 1, 0)]
    assert [len(reply.result()["items"]) for reply in both] == [1, 1]


def test_an_engine_that_raises_gives_an_empty_list_and_one_message():
    with fake_client(may_fail=True) as client:
        client.initialize()
        client.wait_ready()
        client.open("a.py", plan(raises="broken"))
        assert client.inline("a.py", 1, 0) == []
        assert client.inline("a.py", 1, 0) == []
        shown = [m["message"] for m in client.messages("window/showMessage")]
        assert shown == ["code2lora: the engine failed to answer; see the server's log."]
        assert "ValueError: broken" in client.log()
        last = client.status()["lastEmpty"]
        assert last["reason"] == "BROKEN"
        assert last["message"] == "an error kept the model from answering"


def test_the_trigger_and_the_highlighted_item_reach_the_engine(client, name):
    client.open(name, plan() + "x = pri")
    where = {"start": position(1, 4), "end": position(1, 7)}
    client.inline(name, 1, 7, invoked=True, selected={"range": where, "text": "print"})
    seen = last_request(client)
    assert seen["trigger"] == "invoked"
    assert (seen["selectedText"], seen["selectedStart"]) == ("print", seen["offset"] - 3)
    client.inline(name, 1, 7)
    seen = last_request(client)
    assert (seen["trigger"], seen["selectedText"]) == ("automatic", None)


def test_a_selected_item_is_replaced_to_its_end_behind_the_cursor(client, name):
    client.open(name, plan() + "x = prnit")
    where = {"start": position(1, 4), "end": position(1, 9)}
    client.inline(name, 1, 6, selected={"range": where, "text": "print"})
    seen = last_request(client)
    assert (seen["selectedStart"], seen["selectedEnd"]) == (seen["offset"] - 2, seen["offset"] + 3)


def test_alternatives_follow_the_preferred_item_at_the_same_place(client, name):
    client.open(name, plan("first", others=["second", "third"]) + "x")
    items = client.inline(name, 1, 1, invoked=True)
    assert [item["insertText"] for item in items] == ["first", "second", "third"]
    assert len({str(item["range"]) for item in items}) == 1


def test_other_languages_are_not_asked(client, name):
    client.open(name, plan(), language="markdown")
    before = len(client.inside()["requests"])
    assert client.inline(name, 1, 0) == []
    assert client.status()["lastEmpty"]["detail"] == "for the language markdown"
    assert len(client.inside()["requests"]) == before


def test_closed_documents_are_forgotten(client, name):
    before = client.inside()["documents"]
    client.open(name, plan(delay_s=5))
    assert client.inside()["documents"] == before + 1
    asked = client.ask_inline(name, 1, 0)
    client.close_document(name)
    assert asked.result() == {"items": []}
    assert client.inside()["documents"] == before


def test_edits_below_a_form_feed_land_where_the_client_sees_them(client, name):
    """``str.splitlines`` counts lines that are none in LSP."""
    client.open(name, plan() + "a\x0cb\u2028c\nsecond\n")
    client.edit(name, (2, 0), (2, 6), "2nd")
    client.inline(name, 2, 3)
    assert last_request(client)["before"].endswith("a\x0cb\u2028c\n2nd")


def test_uris_are_the_same_document_however_they_are_escaped(client):
    client.open("untitled:a%20b.py", plan() + "x")
    assert len(client.inline("untitled:a b.py", 1, 1)) == 1


@pytest.mark.parametrize(
    ("offered", "character"), [(["utf-8"], 9), (["utf-16"], 7), (["utf-32"], 6), (None, 7)]
)
def test_position_after_an_emoji_maps_to_the_right_offset(offered, character):
    capabilities = {**INLINE, "general": {"positionEncodings": offered} if offered else {}}
    with fake_client() as client:
        answered = client.initialize(capabilities)
        assert answered["positionEncoding"] == (offered or ["utf-16"])[0]
        client.wait_ready()
        client.open("a.py", plan("Z", start=-1) + "x = '😀' + y\r\nnext")
        (item,) = client.inline("a.py", 1, character)
        assert last_request(client)["before"].endswith("x = '😀")
        assert item["range"]["end"] == position(1, character)
        assert item["range"]["start"] == position(1, 5)
        client.edit("a.py", (1, 5), (1, character), "🎉🎉")
        client.inline("a.py", 1, 5)
        assert last_request(client)["after"] == "🎉🎉' + y\r\nnext"
