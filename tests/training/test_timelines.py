"""What the Evo trainer reads of a history, and what it asks for."""

import pytest
import torch

from code2lora_lsp.recipe import SOURCE_V1
from code2lora_lsp.training.timelines import (
    AddedBlock,
    Item,
    TimelinePlan,
    TimelineReader,
    added_blocks,
    pad_items,
)
from tests.gitrepo import GitRepo

DIFF = """\
diff --git a/pkg/old.py b/pkg/new.py
--- a/pkg/old.py
+++ b/pkg/new.py
@@ -1,3 +1,5 @@ def context():
 import os
+import sys
+import json
 EMPTY
-gone = 1
+here = 2
@@ -20 +22,2 @@
 tail = 1
+last = 2
diff --git a/b.py b/b.py
--- /dev/null
+++ b/b.py
@@ -0,0 +1 @@
+only = 1
""".replace("EMPTY", "")


def test_added_blocks_are_runs_of_added_lines_with_their_place_in_the_new_file():
    assert added_blocks(DIFF) == [
        AddedBlock("pkg/new.py", 1, ("import sys", "import json")),
        AddedBlock("pkg/new.py", 4, ("here = 2",)),
        AddedBlock("pkg/new.py", 22, ("last = 2",)),
        AddedBlock("b.py", 0, ("only = 1",)),
    ]


class LengthEncoder:
    """Embeds a window by its length; enough to tell texts apart."""

    width = 2
    encoder_id = "length"

    def __init__(self, tokenizer):
        self.encode = tokenizer.encode
        self.decode = tokenizer.decode

    def embed_windows(self, windows, max_tokens, cancellation=None):
        return torch.tensor([[len(window), 1.0] for window in windows]).view(-1, 2)


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "work")
    for number in range(8):
        lines = [f"name_{i} = compute(first_{i}, second_{i})\n" for i in range(number + 2)]
        repo.commit("a.py", "".join(lines))
    return repo


@pytest.fixture
def timeline(repo, tokenizer):
    plan = TimelinePlan(n_steps=6, items_per_step=2)
    reader = TimelineReader(SOURCE_V1, plan, LengthEncoder(tokenizer), tokenizer)
    return reader.read(repo.git_dir, "owner/name")


def test_a_timeline_has_one_diff_per_step_and_asks_nothing_after_the_last(timeline):
    assert timeline.diffs.shape == (6, 4)
    assert len(timeline.items) == 6
    assert timeline.items[-1] == ()
    assert all(timeline.items[:-1])


def test_an_item_of_a_step_completes_a_line_that_only_the_next_commit_adds(
    timeline, repo, tokenizer
):
    for step, items in enumerate(timeline.items[:-1]):
        added = repo.git("show", f"HEAD~{4 - step}:a.py").splitlines()[-1]
        for item in items:
            middle = tokenizer.decode(list(item.token_ids[item.n_prompt :]))
            assert middle
            assert added.endswith(middle)


def test_the_same_seed_reads_the_same_items(repo, tokenizer, timeline):
    plan = TimelinePlan(n_steps=6, items_per_step=2)
    again = TimelineReader(SOURCE_V1, plan, LengthEncoder(tokenizer), tokenizer)
    assert again.read(repo.git_dir, "owner/name").items == timeline.items


def test_a_young_repository_has_no_timeline(tmp_path, tokenizer):
    repo = GitRepo(tmp_path / "young")
    for number in range(3):
        repo.commit("a.py", f"value = {number}\n" * 4)
    reader = TimelineReader(SOURCE_V1, TimelinePlan(), LengthEncoder(tokenizer), tokenizer)
    assert reader.read(repo.git_dir, "owner/young") is None


def test_only_the_middle_and_its_end_are_scored():
    ids, targets = pad_items([Item((5, 6, 7, 8), 2), Item((5, 6, 9), 2)], pad_id=0)
    assert ids.tolist() == [[5, 6, 7, 8], [5, 6, 9, 0]]
    assert targets.tolist() == [[-100, 7, 8, -100], [-100, 9, -100, -100]]
