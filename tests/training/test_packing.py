import copy
from itertools import pairwise

import pytest
import torch

from code2lora_lsp.text.gaps import Coder
from code2lora_lsp.training import packing
from code2lora_lsp.training.fim_examples import next_example
from code2lora_lsp.training.packing import (
    IGNORED_TARGET,
    SEGMENT_CHARS,
    RowStream,
    SourceFile,
    StreamState,
    cut_into_segments,
)


@pytest.fixture(scope="module")
def files(own_sources):
    return [SourceFile("a/b", f"f{i}.py", text) for i, text in enumerate(own_sources[:25])]


def stream(files, tokenizer, **options):
    return RowStream(files, Coder.of(tokenizer), **options)


def test_segments_cover_every_file_and_end_at_line_ends(files):
    segments = cut_into_segments(files)
    joined = "".join(s.file.text[s.start : s.stop] for s in segments)
    assert joined == "".join(file.text for file in files)
    assert all(s.file.text[s.stop - 1] == "\n" for s in segments)
    assert max(s.stop - s.start for s in segments) < 2 * SEGMENT_CHARS


def test_some_rows_name_their_repository_and_the_paths_of_its_files(tokenizer, own_sources):
    fim = tokenizer.fim_tokens()
    files = [
        SourceFile(f"owner/{name}", f"{name}/f{i}.py", text)
        for name in ("first", "second")
        for i, text in enumerate(own_sources[:20])
    ]
    inputs, _ = stream(files, tokenizer).rows(80, 512)
    named = [row.tolist() for row in inputs if fim.repo_name in row]
    assert 5 < len(named) < 30
    for row in named:
        assert row.index(fim.repo_name) == 1
        text = tokenizer.decode(row)
        repository = text[: text.index("\n")].removeprefix("owner/")
        other = {"first": "second", "second": "first"}[repository]
        starts = [i + 1 for i, token in enumerate(row) if token == fim.file_sep]
        paths = [tokenizer.decode(row[i:]).partition("\n")[0] for i in starts]
        assert len(set(paths)) == len(paths) >= 2
        assert all(path.startswith(f"{repository}/f") for path in paths)
        assert not any(path.startswith(other) for path in paths)


def test_targets_are_inputs_shifted_and_padding_is_not_scored(files, tokenizer):
    inputs, targets = stream(files, tokenizer).rows(30, 256)
    pad = tokenizer.fim_tokens().pad
    assert inputs.shape == targets.shape == (30, 256)
    following = inputs[:, 1:]
    assert torch.equal(targets[:, :-1], following.masked_fill(following == pad, IGNORED_TARGET))
    assert (targets == IGNORED_TARGET).float().mean() < 0.15


def test_a_stream_opened_at_a_saved_state_goes_on_identically(files, tokenizer):
    running = stream(files, tokenizer)
    running.rows(7, 256)
    saved = StreamState.from_tensor(copy.deepcopy(running.state).to_tensor())
    again = stream(files, tokenizer, state=saved)
    for ours, theirs in zip(running.rows(20, 256), again.rows(20, 256), strict=True):
        assert torch.equal(ours, theirs)


def test_a_stream_goes_on_with_a_new_order_after_one_pass(files, tokenizer):
    endless = stream(files[:3], tokenizer)
    first = list(endless._order)
    while endless.state.epoch == 0:
        endless.rows(5, 256)
    assert sorted(endless._order) == sorted(first)
    assert endless.rows(1, 256)[0].shape == (1, 256)


def test_ranks_share_the_segments_without_overlap(files, tokenizer):
    shares = [set(stream(files, tokenizer, rank=r, n_ranks=2)._order) for r in (0, 1)]
    assert not shares[0] & shares[1]
    assert shares[0] | shares[1] == set(range(len(cut_into_segments(files))))


def test_neighbours_in_a_row_come_from_different_segments(files, tokenizer, monkeypatch):
    seen = []

    def spy(window, *rest):
        seen.append((window.text, window.stop))
        return next_example(window, *rest)

    rows = stream(files, tokenizer)
    monkeypatch.setattr(packing, "next_example", spy)
    rows.rows(60, 256)
    assert len(seen) > 60
    assert all(first != second for first, second in pairwise(seen))
