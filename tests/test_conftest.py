"""What tests start must not meet the states, counts and statistics of whoever runs them."""

import subprocess
import sys
from pathlib import Path

from code2lora_lsp.config import Settings, state_root
from code2lora_lsp.runtime.ledger_folders import calibrated_folder

WHERE = "from code2lora_lsp.config import Settings, state_root; print(state_root(Settings()))"


def test_states_and_statistics_lie_in_a_folder_of_this_run(tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    assert state_root(Settings()).is_relative_to(base)
    assert calibrated_folder("0" * 12).is_relative_to(base)


def test_a_server_process_keeps_its_states_there_too(tmp_path_factory):
    done = subprocess.run(
        [sys.executable, "-c", WHERE], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert Path(done.stdout.strip()).is_relative_to(tmp_path_factory.getbasetemp())
