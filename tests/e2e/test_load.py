"""Typing at 100 requests a second, and an engine that is slow."""

import time

import pytest

from tests.e2e.fake import fake_client, plan

N_KEYS = 200


@pytest.fixture(scope="module")
def client():
    with fake_client() as client:
        client.initialize()
        yield client.wait_ready()


def test_typing_at_100_requests_a_second_loses_no_answer(client):
    text = plan("done", delay_s=0.05) + "x" * 20_000 + "\n"
    client.open("typed.py", text)
    asked = []
    began_s = time.monotonic()
    for key in range(N_KEYS):
        client.edit("typed.py", (2, key), (2, key), "y")
        asked.append(client.ask_inline("typed.py", 2, key + 1))
        time.sleep(max(0.0, began_s + (key + 1) * 0.01 - time.monotonic()))
    items = [reply.result()["items"] for reply in asked]
    assert [len(reply.answers) for reply in asked] == [1] * N_KEYS
    assert len(items[-1]) == 1, "the last one is still current"
    client.wait_until(lambda: not client.inside()["alive"])
    assert client.inside()["requests"][-1]["before"].endswith("\n" + "y" * N_KEYS)
    assert client.inside()["pending"] == 0


def test_the_loop_answers_others_while_the_engine_is_slow(client):
    client.open("slow.py", plan(delay_s=2, deaf=True))
    slow = client.ask_inline("slow.py", 1, 0)
    took_s = []
    for _ in range(20):
        reply = client.request("code2lora/status", {})
        reply.result()
        took_s.append(reply.took_s)
    assert not slow.arrived.is_set()
    assert sorted(took_s)[10] < 0.1
    client.cancel(slow)
    slow.error()


def test_a_large_document_can_be_opened_and_edited(client):
    client.open("large.py", plan() + "x = 1\n" * 100_000)
    client.edit("large.py", (90_000, 0), (90_000, 1), "y")
    (item,) = client.inline("large.py", 90_000, 5)
    assert item["range"]["start"] == {"line": 90_000, "character": 5}
    assert client.inside()["requests"][-1]["before"].endswith("x = 1\ny = 1")
    client.open("huge.py", plan() + "x = 1\n" * 200_000)
    assert client.inline("huge.py", 1, 1) == []
    assert client.status()["lastEmpty"]["reason"] == "TOO_LARGE"
