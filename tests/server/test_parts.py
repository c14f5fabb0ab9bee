"""Small parts: framing, arguments, our section of the settings, the status sentence."""

import logging
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from code2lora_lsp.config import Settings
from code2lora_lsp.errors import ModelMissing
from code2lora_lsp.runtime.api import FollowState, RepositoryStatus
from code2lora_lsp.server.backend_host import BackendHost, BackendUnavailable
from code2lora_lsp.server.commands import Arguments
from code2lora_lsp.server.configuration import is_ours, our_part
from code2lora_lsp.server.protocol import adapter_message
from code2lora_lsp.server.transport import MessageSplitter
from code2lora_lsp.server.wire import Refused

FRAME = b"Content-Length: 5\r\nContent-Type: x\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_messages_are_cut_out_however_the_bytes_arrive(size):
    splitter = MessageSplitter()
    stream = FRAME + b"first" + b"content-length:6\r\n\r\nsecond" + FRAME + b"thi"
    chunks = [stream[n : n + size] for n in range(0, len(stream), size)]
    assert [body for chunk in chunks for body in splitter.feed(chunk)] == [b"first", b"second"]
    assert list(splitter.feed(b"rd")) == [b"third"]


def test_a_header_without_a_length_is_skipped_and_logged(caplog):
    splitter = MessageSplitter()
    with caplog.at_level(logging.ERROR):
        assert list(splitter.feed(b"Nonsense: 1\r\n\r\n" + FRAME + b"first")) == [b"first"]
    assert "Nonsense" in caplog.text


def test_command_arguments_may_be_absent_a_path_a_uri_or_an_object(tmp_path):
    expected = Arguments(path=tmp_path.resolve())
    for given in (str(tmp_path), tmp_path.as_uri(), {"folder": str(tmp_path)}):
        assert Arguments.decode((given,)) == expected
    assert Arguments.decode(()) == Arguments.decode((None,)) == Arguments()
    given = {"language": "rust", "enabled": False}
    assert Arguments.decode((given,)) == Arguments(language="rust", enabled=False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("a", "b"), "at most one argument, got 2"),
        ((3,), "expected a path, a URI or an object, got 3"),
        (("relative/path",), "absolute path, got 'relative/path'"),
        (("http://host/x",), "expected a file URI"),
        (({"enabled": "yes"},), "argument 'enabled': expected bool, got 'yes'"),
    ],
)
def test_wrong_command_arguments_are_refused_with_the_value_seen(given, message):
    with pytest.raises(Refused, match=message):
        Arguments.decode(given)


@pytest.mark.parametrize(
    ("raw", "ours"),
    [
        (None, None),
        ([], None),
        ({"code2lora": None}, None),
        ({"code2lora": {"model": {"device": None}}}, {"model": {}}),
        ({"model": {}, "trace": {"server": "off"}}, {"model": {}}),
        ("text", "text"),
    ],
)
def test_our_section_is_found_wherever_it_is(raw, ours):
    assert our_part(raw) == ours


def test_pushed_settings_are_ours_if_they_name_us_or_one_of_our_groups():
    assert is_ours({"code2lora": {}})
    assert is_ours({"completion": {}})
    assert not is_ours({"python": {}})
    assert not is_ours(None)


KNOWN = {"adapter_commit": "a1b2c3d4e5", "adapter_id": "ada", "memory_id": "mem"}
NAMES = {**KNOWN, "adapter_id": None}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ({}, "no adapter yet"),
        (KNOWN, "adapter @ a1b2c3"),
        ({**KNOWN, "memory_id": None}, "adapter @ a1b2c3"),
        ({**KNOWN, "commits_behind": 0}, "adapter @ a1b2c3"),
        ({**KNOWN, "commits_behind": 1}, "adapter @ a1b2c3, 1 commit behind"),
        ({**KNOWN, "commits_behind": 2}, "adapter @ a1b2c3, 2 commits behind"),
        (NAMES, "names @ a1b2c3, no adapter"),
        ({**NAMES, "edited_files": 2}, "names @ a1b2c3, no adapter, 2 files edited"),
        ({**NAMES, "memory_id": None}, "nothing known @ a1b2c3, no adapter"),
    ],
)
def test_what_is_known_is_named_by_its_commit_and_its_lag(status, message):
    assert adapter_message(RepositoryStatus("/r", FollowState.CURRENT, **status)) == message


def test_while_only_names_are_known_the_adapter_is_said_to_follow():
    status = RepositoryStatus("/r", FollowState.FOLLOWING, **NAMES)
    assert adapter_message(status) == "names @ a1b2c3, the adapter follows"
    status = RepositoryStatus("/r", FollowState.FOLLOWING, **KNOWN)
    assert adapter_message(status) == "adapter @ a1b2c3"


def test_a_rolled_back_adapter_is_called_pinned():
    status = RepositoryStatus("/r", FollowState.PINNED, **KNOWN, commits_behind=1)
    assert adapter_message(status) == "adapter @ a1b2c3, pinned"


class Recorder(SimpleNamespace):
    """A backend that only starts and closes."""

    def start(self):
        self.events.append("start")

    def close(self):
        self.events.append("close")
        return True


def test_calls_run_in_order_after_the_backend_was_made_and_before_it_closes():
    events: list[str] = []
    host = BackendHost(
        lambda _settings, _listener: events.append("make") or Recorder(events=events)
    )
    called: Future[None] = host.call(lambda _backend: events.append("call"))
    assert events == []
    host.start(Settings(), lambda _event: None)
    with pytest.raises(BackendUnavailable, match="was not started"):
        called.result(5)  # asked before there was one
    host.call(lambda _backend: events.append("call")).result(5)
    host.close(5)
    assert events == ["make", "start", "call", "close"]
    assert host.is_closed


def test_a_factory_that_fails_is_one_incident_and_can_be_tried_again():
    heard, tries = [], [ModelMissing("no model; get one"), Recorder(events=[])]

    def factory(_settings, _listener):
        made = tries.pop(0)
        if isinstance(made, Exception):
            raise made
        return made

    host = BackendHost(factory)
    host.start(Settings(), heard.append)
    with pytest.raises(BackendUnavailable, match="no model; get one"):
        host.call(lambda _backend: None).result(5)
    assert [event.message for event in heard] == ["no model; get one"]
    host.start(Settings(), heard.append)
    host.call(lambda _backend: None).result(5)
    assert host.failure is None
    host.close(5)
