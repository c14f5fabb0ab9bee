"""What a server would have written down, had it followed the newest commits one after the other.

From nothing, with states and a journal of its own that are gone afterwards: what is known at each
commit then holds nothing of those that come after it, not even in the ladder of a tree.
"""

import tempfile
import threading
import time
from pathlib import Path

from code2lora_lsp.cancellation import Cancellation
from code2lora_lsp.errors import FollowError
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.runtime.commit_journal import Arrival, CommitJournal
from code2lora_lsp.runtime.commit_records import Followed, followed_path, read_followed
from code2lora_lsp.runtime.follower import Following
from code2lora_lsp.runtime.line_scoring import LineScores, LineScoring, Score, Unscored
from code2lora_lsp.runtime.progress import Report
from code2lora_lsp.runtime.tree_texts import TREE_RECIPE

LONGEST_SCORING_S = 600.0


def replay(
    repository: Repository,
    models: Following,
    score: Score,
    n_commits: int,
    report: Report,
) -> Followed:
    """Of the newest ``n_commits`` that touch source, and the one before them, with scores.

    Raises:
        FollowError: there are none, one of them cannot be followed, or scoring does not end.
    """
    head = repository.head().commit_id
    newest = repository.source_commit_ids(head, TREE_RECIPE, n_commits) if head else []
    if not newest:
        raise FollowError(f"{repository.root}: no commit touches source yet")
    commits = [*repository.first_parent_ids(newest[0], 2)[1:], *newest]
    with tempfile.TemporaryDirectory(prefix="code2lora-replay-") as folder:
        journal, apart = CommitJournal(Path(folder), repository.root), models.apart(Path(folder))
        follower, cancellation = apart.follower(repository), Cancellation()
        for number, commit in enumerate(commits):
            report(f"commit {number + 1} of {len(commits)}", 100 * number // len(commits))
            started_s = time.monotonic()
            plan = follower.plan(commit, cancellation)
            points = follower.run(plan, cancellation, lambda: None) if plan else ()
            for point in points:
                if point.behind == 0:
                    knowledge = point.knowledge()
                    arrival = Arrival(point, knowledge, time.monotonic() - started_s)
                    unscored = journal.arrived(arrival, repository, apart, cancellation)
                    if unscored is not None:
                        journal.scored(unscored, _scores(unscored, score))
        return read_followed(followed_path(Path(folder), repository.root))


def _scores(unscored: Unscored, score: Score) -> LineScores:
    """Wait for them."""
    found: list[LineScores] = []
    is_done = threading.Event()

    def take(_: Unscored, scores: LineScores) -> None:
        found.append(scores)
        is_done.set()

    score(LineScoring(unscored, take))
    if not is_done.wait(LONGEST_SCORING_S):
        raise FollowError(
            f"the lines of {unscored.commit[:12]} were not scored within {LONGEST_SCORING_S:g} s; "
            "the log says why"
        )
    return found[0]
