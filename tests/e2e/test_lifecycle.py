"""The handshake, and what is left when it is over."""

import socket
import subprocess
import sys
import time

import pytest

from code2lora_lsp.config import Settings
from code2lora_lsp.errors import SetupError
from code2lora_lsp.server.server import create_server, run_tcp
from tests.e2e.client import INLINE, INLINE_DYNAMIC, LspClient
from tests.e2e.fake import COMMAND, ROOT, fake_client, plan

INLINE_METHOD = "textDocument/inlineCompletion"
METHODS = (INLINE_METHOD, "textDocument/completion")


def test_initialize_answers_without_importing_torch():
    with fake_client(fresh=True) as client:
        client.initialize()
        assert client.inside()["torch"] is False
        modules = "import sys, tests.e2e.fake_server; print(*sys.modules)"
        found = subprocess.run(
            [sys.executable, "-c", modules], cwd=ROOT, capture_output=True, check=True
        )
        assert {"torch", "transformers", "peft"}.isdisjoint(found.stdout.decode().split())


def test_initialize_is_answered_while_the_factory_would_still_be_importing():
    with fake_client(make_s=30) as client:
        began_s = time.monotonic()
        client.initialize()
        client.open("a.py", "")
        assert client.inline("a.py", 0, 0) == []
        assert client.status()["lastEmpty"]["reason"] == "NOT_READY"
        assert time.monotonic() - began_s < 10
        assert client.shut_down() == 0, "leaving does not wait for the import"


def test_inline_completion_is_advertised():
    with fake_client() as client:
        capabilities = client.initialize(INLINE)
        assert capabilities["inlineCompletionProvider"] == {}
        assert client.asked("client/registerCapability") == []


def test_inline_completion_is_registered_once_ready_and_taken_back_when_unloaded():
    with fake_client(ready=False) as client:
        capabilities = client.initialize(INLINE_DYNAMIC)
        assert "inlineCompletionProvider" not in capabilities
        client.wait_until(lambda: client.inside()["calls"])
        assert client.asked("client/registerCapability") == []
        client.emit("status", engine="ready")
        client.wait_until(lambda: client.asked("client/registerCapability"))
        (registration,) = client.asked("client/registerCapability")[0]["registrations"]
        assert registration["method"] == INLINE_METHOD
        assert registration["registerOptions"]["documentSelector"] == [{"language": "python"}]
        client.execute("code2lora.unloadModel").result()
        client.wait_until(lambda: client.asked("client/unregisterCapability"))
        (taken,) = client.asked("client/unregisterCapability")[0]["unregisterations"]
        assert (taken["method"], taken["id"]) == (INLINE_METHOD, registration["id"])


def test_a_language_switched_on_by_hand_is_registered_too():
    dynamic = {"dynamicRegistration": True}
    both = {"inlineCompletion": dynamic, "completion": dynamic}
    with fake_client() as client:
        client.initialize({"textDocument": both}, options={"completion": {"fallback": "always"}})
        client.wait_ready()

        def languages():
            """Of the newest registration of each method."""
            seen = {
                one["method"]: one["registerOptions"]["documentSelector"]
                for asked in client.asked("client/registerCapability")
                for one in asked["registrations"]
            }
            return [[item["language"] for item in seen.get(name, [])] for name in METHODS]

        client.wait_until(lambda: languages() == [["python"]] * 2)
        toggle = {"language": "rust"}
        client.execute("code2lora.toggleCompletions", toggle).result()
        client.wait_until(lambda: languages() == [["python", "rust"]] * 2)
        client.execute("code2lora.toggleCompletions", toggle).result()
        client.wait_until(lambda: languages() == [["python"]] * 2)
        client.execute("code2lora.toggleCompletions").result()
        client.status()
        assert len(client.asked("client/registerCapability")) == 6, "no more than what changed"


def test_a_failed_factory_is_told_once_and_the_server_stays():
    with fake_client(fail="no model at /models/nano; run the download") as client:
        client.initialize()
        client.wait_until(lambda: client.messages("window/showMessage"))
        client.open("a.py", "")
        for _ in range(3):
            assert client.inline("a.py", 0, 0) == []
        status = client.status()
        assert (status["kind"], status["lastEmpty"]["reason"]) == ("Error", "FAILED")
        shown = client.messages("window/showMessage")
        assert [m["message"] for m in shown] == ["no model at /models/nano; run the download"]
        assert client.shut_down() == 0


def test_after_a_failed_start_new_settings_start_again():
    with fake_client(fail="no model") as client:
        client.initialize()
        client.wait_until(lambda: client.messages("window/showMessage"))
        settings = {"code2lora": {"model": {"backbone": "present"}}}
        client.notify("workspace/didChangeConfiguration", {"settings": settings})
        client.wait_ready()


@pytest.mark.parametrize("ready", [True, False])
def test_shutdown_and_exit_leave_no_process_behind(ready):
    with fake_client(ready=ready) as client:
        client.initialize()
        client.wait_until(lambda: client.inside()["calls"])
        client.open("a.py", plan(delay_s=5, deaf=True))
        unanswered = client.ask_inline("a.py", 0, 0)
        assert client.shut_down() == 0
        assert len(unanswered.answers) == 1
        assert "backend closed" in client.log()


def test_exit_without_shutdown_is_an_error_code():
    with fake_client() as client:
        client.initialize()
        client.notify("exit", None)
        assert client.process.wait(10) == 1


def test_a_client_that_dies_takes_the_server_with_it():
    with fake_client() as client:
        client.initialize()
        client.open("a.py", plan(delay_s=60))
        client.ask_inline("a.py", 0, 0)
        client.wait_ready()
        client.close()
        assert client.process.returncode == 1
        assert "backend closed" in client.log()


def test_the_server_runs_no_thread_per_request():
    with fake_client() as client:
        client.initialize()
        client.wait_ready()
        client.open("a.py", "x")
        before = client.inside()["threads"]
        for _ in range(20):
            client.inline("a.py", 0, 1)
        assert client.inside()["threads"] == before
        assert [name for name in before if "ThreadPool" in name] == [], "pygls' pool is not used"


def test_what_something_prints_does_not_reach_the_client():
    with fake_client() as client:
        client.initialize()
        client.request("fake/print", {}).result()
        assert "a stray print" in client.log()


def test_tcp_serves_one_client_on_the_loopback_interface():
    process = subprocess.Popen([*COMMAND, '{"tcp": true}'], cwd=ROOT, stderr=subprocess.PIPE)
    try:
        port = next(int(line) for line in process.stderr if line.strip().isdigit())
        with LspClient.connect("127.0.0.1", port) as client:
            assert client.initialize()["inlineCompletionProvider"] == {}
            with LspClient.connect("127.0.0.1", port) as second:
                second.request("initialize", {"capabilities": {}, "processId": None})
                second.wait_until(lambda: second.is_hung_up)
                assert second._replies[1].answers == []
            client.request("shutdown", None).result()
            client.notify("exit", None)
            assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_an_address_that_is_taken_is_a_set_up_error_with_a_remedy():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = create_server(unused, Settings(), "0")
        with pytest.raises(SetupError, match=f"127.0.0.1:{port}.*Port 0 takes a free port"):
            run_tcp(server, port=port)


def unused(_settings, _listener):
    raise AssertionError("the backend is made after initialized")
