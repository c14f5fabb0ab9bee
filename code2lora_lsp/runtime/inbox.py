"""The requests an engine has not answered yet."""

from code2lora_lsp.runtime.job import Job


class Inbox:
    """At most one waiting request per document, the newest, and the one that is worked on.

    It has no lock of its own: whoever changes it holds the engine's condition.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, Job] = {}
        self.running: Job | None = None

    @property
    def is_waited_for(self) -> bool:
        """A request has not had its turn yet."""
        return bool(self._waiting)

    def put(self, job: Job) -> Job | None:
        """Take a request in, and stop a running one for its document; the waiting one it ousts."""
        older = self._waiting.pop(job.uri, None)
        self._waiting[job.uri] = job
        if self.running is not None and self.running.uri == job.uri:
            self.running.superseded.cancel("a newer request came")
        return older

    def take(self) -> Job:
        """The request that came last begins to run."""
        _, self.running = self._waiting.popitem()
        return self.running

    def drain(self) -> list[Job]:
        """Let go of every request, the running one last."""
        jobs = [*self._waiting.values(), *([self.running] if self.running else [])]
        self._waiting.clear()
        self.running = None
        return jobs
