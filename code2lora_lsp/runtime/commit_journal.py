"""What is written down of each commit that is followed.

That is how far its adapter moved, and whether what was known before helps with the lines it added.
Owned by its tracker's thread. The records are on disk, where panels and the command line read
them; in memory is only the knowledge of the commit last followed, which the next one is measured
against.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.errors import Code2LoraError
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.history.secrets import redact
from code2lora_lsp.neural.lora import LoraAdapter, delta_cosine, relative_distance
from code2lora_lsp.neural.peft_format import load_peft, save_peft
from code2lora_lsp.runtime.commit_records import (
    CommitRecord,
    Followed,
    followed_path,
    read_followed,
    write_followed,
)
from code2lora_lsp.runtime.follower import Following, FollowPoint
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.line_scoring import LineScores, Unscored
from code2lora_lsp.runtime.tree_texts import TreeTexts
from code2lora_lsp.text.added_lines import Passage, added_passages

log = logging.getLogger(__name__)

MOST_CHANGED_FILES = 400
"""Of a larger change, such as another branch, no lines are scored."""


@dataclass(frozen=True)
class Arrival:
    """A commit was reached, and what is known of it was published.

    Attributes:
        point: the last one of the run.
        knowledge: the commit's own, no saved edits in it.
        seconds: of the whole run.
    """

    point: FollowPoint
    knowledge: Knowledge
    seconds: float


class CommitJournal:
    """The records of one work tree; two servers that follow it keep the same ones."""

    def __init__(
        self,
        state_root: Path,
        work_tree: Path,
        on_written: Callable[[str], None] = lambda _commit: None,
    ) -> None:
        """Keep the records of ``work_tree`` below ``state_root``, the folder of the states.

        ``on_written`` is called with a commit whose record on disk is new, or another now.
        """
        self._path = followed_path(state_root, work_tree)
        self._on_written = on_written
        self._last: tuple[str, Knowledge] | None = None

    def arrived(
        self,
        arrival: Arrival,
        repository: Repository,
        models: Following,
        cancellation: Cancellation,
    ) -> Unscored | None:
        """Write a commit down, unless it is; its lines, where they can be scored.

        Args:
            arrival: the commit.
            repository: of it.
            models: it was followed with them.
            cancellation: checked where what was known before has to be made again.

        Raises:
            Cancelled: ``cancellation`` was set; nothing was written down.
            GitReadFailed: git did not answer.
        """
        now, checkpoint = arrival.knowledge, models.checkpoint_id
        followed, unscored = read_followed(self._path), None
        if followed.of(now.commit_id, checkpoint) is None:
            parent = self._parent(followed)
            before = self._before(parent, followed, repository, models, cancellation)
            record = _record(arrival, parent, checkpoint, repository)
            self._write(self._measured(followed, record, now, before), now.commit_id)
            self._last = checkpoint, now
            passages = _new_lines(repository, before, now.commit_id)
            if before is not None and passages:
                unscored = Unscored(now.commit_id, checkpoint, tuple(passages), before)
        self._last = checkpoint, now
        return unscored

    def scored(self, unscored: Unscored, scores: LineScores) -> None:
        """Write scores into a commit's record, if that is still there."""
        followed = read_followed(self._path)
        record = followed.of(unscored.commit, unscored.checkpoint)
        if record is not None:
            without, known = round(scores.without_nats, 4), round(scores.with_nats, 4)
            record = replace(
                record, without_nats=without, with_nats=known, n_scored=scores.n_tokens
            )
            self._write(followed.with_record(record), record.commit)

    def _parent(self, followed: Followed) -> str | None:
        """The commit followed last, by this server or else by one before it."""
        if self._last is not None:
            return self._last[1].commit_id
        return followed.records[-1].commit if followed.records else None

    def _before(
        self,
        parent: str | None,
        followed: Followed,
        repository: Repository,
        models: Following,
        cancellation: Cancellation,
    ) -> Knowledge | None:
        """What was known at ``parent`` with the same models, made again after a restart."""
        checkpoint = models.checkpoint_id
        if self._last is not None and self._last[0] == checkpoint:
            return self._last[1]
        if parent is None or followed.of(parent, checkpoint) is None:
            return None
        if not repository.commits_among([parent]):
            return None
        return _stored(parent, repository, models, cancellation)

    def _measured(
        self, followed: Followed, record: CommitRecord, now: Knowledge, before: Knowledge | None
    ) -> Followed:
        """With a record, and where its adapter lies."""
        adapter, distance = now.adapter, None
        if adapter is not None and before is not None and before.adapter is not None:
            distance = _rounded(relative_distance(adapter, before.adapter))
        is_other = not followed.records or followed.records[-1].checkpoint != record.checkpoint
        reference, cosine = None if is_other else followed.reference, None
        if adapter is not None:
            kept = self._reference(reference)
            if kept is None:
                reference, kept = record.commit, self._keep_reference(adapter)
            cosine = _rounded(delta_cosine(adapter, kept))
        record = replace(record, distance=distance, reference_cosine=cosine)
        return replace(followed.with_record(record), reference=reference)

    def _reference(self, commit: str | None) -> LoraAdapter | None:
        """The adapter kept of a commit; ``None`` if there is none, or another one's."""
        if commit is None:
            return None
        try:
            kept = load_peft(self._path.with_suffix(".reference"))
        except Code2LoraError as error:
            log.info("no reference adapter: %s", error)
            return None
        return kept if kept.commit_id == commit else None

    def _keep_reference(self, adapter: LoraAdapter) -> LoraAdapter:
        try:
            save_peft(adapter, self._path.with_suffix(".reference"), "")
        except OSError as error:
            log.warning("the reference adapter could not be kept: %s", error)
        return adapter

    def _write(self, followed: Followed, commit: str) -> None:
        """Put the records on disk and tell which commit's changed."""
        try:
            write_followed(self._path, followed)
        except OSError as error:
            log.warning("%s could not be written (%s); following goes on", self._path, error)
        else:
            self._on_written(commit)


def _record(
    arrival: Arrival, parent: str | None, checkpoint: str, repository: Repository
) -> CommitRecord:
    commit = arrival.knowledge.commit_id
    headline = repository.headline(commit)
    return CommitRecord(
        commit=commit,
        parent=parent,
        checkpoint=checkpoint,
        time=headline.time,
        subject=redact(headline.subject)[0],
        n_tokens=arrival.point.n_changed,
        reanchored=arrival.point.is_anew,
        step_s=round(arrival.seconds, 3),
    )


def _stored(
    commit: str, repository: Repository, models: Following, cancellation: Cancellation
) -> Knowledge | None:
    """What was known at a commit, from its stored state; ``None`` where that is gone.

    A ledger would make it from the state of another tree, maybe a later one, whose ladder may hold
    traces of what came since.
    """
    follower, knowledge = models.follower(repository), None
    try:
        plan = follower.plan(commit, cancellation)
        for point in follower.run(plan, cancellation, lambda: None) if plan else ():
            if point.unit == "token" and (point.behind or point.n_changed is not None):
                return None
            if point.behind == 0:
                knowledge = point.knowledge()
    except Code2LoraError as error:
        log.info("what was known at %s cannot be read again: %s", commit[:12], error)
        return None
    return knowledge


def _new_lines(repository: Repository, before: Knowledge | None, commit: str) -> list[Passage]:
    """Lines since ``before``; none where that may know some of them already."""
    if before is None or before.edited or before.commit_id == commit:
        return []
    is_here = bool(repository.commits_among([before.commit_id]))  # amended and collected since?
    if not is_here or not repository.is_ancestor(before.commit_id, commit):
        return []
    texts = TreeTexts(repository)
    changes = texts.changes(before.commit_id, commit)
    if len(changes) > MOST_CHANGED_FILES:
        return []
    return added_passages(texts.before(changes), texts.after(changes))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
