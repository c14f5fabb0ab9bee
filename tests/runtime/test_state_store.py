"""States on disk: exact, atomic, and never trusted when damaged."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch

from code2lora_lsp.runtime.state_store import StateStore

KEY = "ab" * 20


@pytest.fixture
def store(tmp_path):
    return StateStore(tmp_path, "checkpoint", "recipe")


def test_a_saved_state_is_read_back_bit_for_bit(store):
    hidden_state = torch.randn(1, 1, 16)
    store.save("state", KEY, {"hidden_state": hidden_state})
    assert torch.equal(store.load("state", KEY)["hidden_state"], hidden_state)


def test_an_absent_state_is_none(store):
    assert store.load("state", KEY) is None


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_damaged_file_is_removed_and_reported_once(store, caplog, damage):
    store.save("state", KEY, {"hidden_state": torch.ones(64)})
    path = next(store.folder.rglob("*.safetensors"))
    content = path.read_bytes()
    broken = {"truncate": content[:-7], "flip": content[:-1] + b"\x01", "empty": b""}[damage]
    path.write_bytes(broken)
    assert store.load("state", KEY) is None
    assert store.load("state", KEY) is None
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert not path.exists()


def test_a_file_renamed_to_another_key_is_not_believed(store):
    store.save("state", KEY, {"hidden_state": torch.ones(4)})
    path = next(store.folder.rglob("*.safetensors"))
    other = "abcd" * 10
    path.rename(path.with_name(f"{other}.safetensors"))
    assert store.load("state", other) is None


def test_checkpoints_and_recipes_do_not_see_each_other(tmp_path):
    StateStore(tmp_path, "one", "recipe").save("state", KEY, {"h": torch.ones(1)})
    assert StateStore(tmp_path, "two", "recipe").load("state", KEY) is None
    assert StateStore(tmp_path, "one", "other").load("state", KEY) is None


def test_states_stay_readable_after_the_writer_is_killed(store, tmp_path):
    script = textwrap.dedent(f"""
        import torch
        from pathlib import Path
        from code2lora_lsp.runtime.state_store import StateStore
        store = StateStore(Path({str(tmp_path)!r}), "checkpoint", "recipe")
        print("writing", flush=True)
        value = 0
        while True:
            value += 1
            store.save("state", {KEY!r}, {{"h": torch.full((50_000,), float(value))}})
    """)
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    writer.stdout.readline()
    deadline = time.monotonic() + 20
    while not store.has("state", KEY) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.15)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    state = store.load("state", KEY)["h"]
    assert torch.equal(state, state[0].expand(50_000))


def test_two_writers_of_one_key_leave_one_whole_file(store, tmp_path, caplog):
    script = textwrap.dedent(f"""
        import sys, torch
        from pathlib import Path
        from code2lora_lsp.runtime.state_store import StateStore
        store = StateStore(Path({str(tmp_path)!r}), "checkpoint", "recipe")
        print("ready", flush=True)
        sys.stdin.readline()
        for value in range(int(sys.argv[1]), 200, 2):
            store.save("state", {KEY!r}, {{"h": torch.full((50_000,), float(value))}})
    """)
    store.save("state", KEY, {"h": torch.zeros(50_000)})
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, first],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for first in "01"
    ]  # fmt: skip
    try:
        for writer in writers:
            assert writer.stdout.readline() == b"ready\n"
        for writer in writers:
            writer.stdin.write(b"go\n")
            writer.stdin.flush()
        seen = set()
        while any(writer.poll() is None for writer in writers):
            state = store.load("state", KEY)["h"]
            assert torch.equal(state, state[0].expand(50_000))
            seen.add(int(state[0]) % 2)
    finally:
        for writer in writers:
            writer.kill()
        said = [writer.communicate()[1] for writer in writers]
    assert said == [b"", b""]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen == {0, 1}, "the two did not write at the same time"
    assert int(store.load("state", KEY)["h"][0]) in {198, 199}
    assert caplog.records == []
    assert [path.suffix for path in store.folder.rglob("*") if path.is_file()] == [".safetensors"]
