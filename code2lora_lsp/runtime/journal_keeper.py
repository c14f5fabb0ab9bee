"""Has every commit that is reached written down, and its lines scored when there is time."""

import logging
from collections.abc import Callable
from queue import SimpleQueue

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.errors import Code2LoraError
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.runtime.commit_journal import Arrival, CommitJournal
from code2lora_lsp.runtime.follower import Following
from code2lora_lsp.runtime.line_scoring import LineScores, LineScoring, Score, Unscored

log = logging.getLogger(__name__)


class JournalKeeper:
    """Keeps one tracker's journal, on its thread; only scores come from another.

    Args:
        journal: of the repository.
        wake: called when scores came, on the thread that scored; ``take_scores`` is then due.

    Attributes:
        score: does work for later; ``None`` while there is no engine. Set by any thread.
    """

    def __init__(self, journal: CommitJournal, wake: Callable[[], None]) -> None:
        self._journal = journal
        self._wake = wake
        self.score: Score | None = None
        self._reached: Arrival | None = None
        self._scored: SimpleQueue[tuple[Unscored, LineScores]] = SimpleQueue()

    def reached(self, arrival: Arrival) -> None:
        """The end of a run was published; what is to be written down next."""
        self._reached = arrival

    def write_down(
        self, repository: Repository, models: Following, cancellation: Cancellation
    ) -> None:
        """Write down the commit that was reached, if one was, and have its lines scored.

        What goes wrong here does not concern completions: it is logged.

        Raises:
            Cancelled: ``cancellation`` was set; the commit is still to be written down.
        """
        if self._reached is None:
            return
        try:
            unscored = self._journal.arrived(self._reached, repository, models, cancellation)
        except (Code2LoraError, OSError) as error:
            log.warning("%s: a commit is not in the journal: %s", repository.root.name, error)
            unscored = None
        self._reached = None
        score = self.score
        if unscored is not None and score is not None:
            score(LineScoring(unscored, self._on_scored))

    def take_scores(self) -> None:
        """Write down the scores that came since."""
        while not self._scored.empty():
            self._journal.scored(*self._scored.get())

    def _on_scored(self, unscored: Unscored, scores: LineScores) -> None:
        """On the thread that scored: hand over."""
        self._scored.put((unscored, scores))
        self._wake()
