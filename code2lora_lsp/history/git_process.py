"""Run git so that its answer depends on the objects it reads and on nothing else.

GitPython starts the processes. This module fixes what could change their output (the user's
configuration, attributes of the checked-out tree, the environment of a hook we may be started
from) and turns every failure into ``GitReadFailed``.
"""

import os
import re
import tempfile
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from code2lora_lsp.errors import GitReadFailed

if TYPE_CHECKING:
    from git.cmd import Git

EMPTY_TREES = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
"""Id of the tree without entries, by the length of the repository's ids."""

_PINNED_CONFIG = (
    "core.abbrev=auto",
    "core.fsmonitor=false",
    "diff.indentHeuristic=true",
    "diff.suppressBlankEmpty=false",
    f"diff.orderFile={os.devnull}",
    "log.diffMerges=separate",
    "log.showRoot=true",
    "log.showSignature=false",
)
COMPLETE_A_PARTIAL_CLONE = (
    "Fetch them with `git fetch --refetch --no-filter`, and let later fetches bring all with "
    "`git config --unset remote.origin.partialclonefilter`."
)
"""Without ``--no-filter``, ``--refetch`` filters as the clone did and brings nothing."""

_NO_ATTRIBUTES_CONFIG = (f"core.attributesFile={os.devnull}",)
_STDERR_TAIL_CHARS = 600
_SHA256 = re.compile(r"(?im)^[ \t]*objectformat[ \t]*=[ \t]*sha256\b")


class GitCommand:
    """Starts git on one git directory. Holds no process between calls; any thread may use it."""

    def __init__(self, git_dir: Path, common_dir: Path, work_tree: Path | None = None) -> None:
        """With a ``work_tree`` git runs there, by the attributes that hold there."""
        self._git = _start_gitpython(work_tree or git_dir)
        self.git_dir = git_dir
        self._pins = _PINNED_CONFIG if work_tree else (*_PINNED_CONFIG, *_NO_ATTRIBUTES_CONFIG)
        environment = _environment(git_dir, common_dir)
        if work_tree is None:
            environment |= _no_work_tree(git_dir, common_dir)
        else:
            environment["GIT_WORK_TREE"] = str(work_tree)
        self._git.update_environment(**environment)

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        accepted: Collection[int] = (0,),
    ) -> tuple[int, bytes]:
        """Exit status and standard output of one short command.

        Raises:
            GitReadFailed: git is missing or ended with a status that is not ``accepted``.
        """
        with _input_file(stdin) as source, self._translated(arguments):
            status, output, stderr = self._git.execute(
                self._command(arguments),
                istream=source,
                with_extended_output=True,
                stdout_as_string=False,
                with_exceptions=False,
                strip_newline_in_stdout=False,
            )
        if status not in accepted:
            raise self.failure(arguments, status, stderr)
        return status, output

    def text(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Standard output of one short command, without surrounding white space."""
        return self.run(*arguments, stdin=stdin)[1].decode("utf-8", "surrogateescape").strip()

    @contextmanager
    def stream(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        quoted_paths: bool = False,
    ) -> "Iterator[GitStream]":
        """One running command whose output is read while it is produced.

        The caller ends a complete read with ``GitStream.finish``; leaving without it stops git.
        """
        with _input_file(stdin) as source:
            with self._translated(arguments):
                process = self._git.execute(
                    self._command(arguments, quoted_paths=quoted_paths),
                    istream=source,
                    as_process=True,
                )
            running = GitStream(self, arguments, process)
            try:
                yield running
            finally:
                running.close()

    def failure(self, arguments: Sequence[str], status: int, stderr: str) -> GitReadFailed:
        """The error for a command that ended with ``status`` (negative: killed by a signal)."""
        ended = f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
        said = stderr.strip()[-_STDERR_TAIL_CHARS:] or "nothing on stderr"
        return GitReadFailed(
            f"`git {' '.join(arguments)}` {ended} in {self.git_dir}: {said}. {_remedy(said)}"
        )

    def _command(self, arguments: Sequence[str], *, quoted_paths: bool = False) -> list[str]:
        pins = [*self._pins, f"core.quotePath={str(quoted_paths).lower()}"]
        return ["git", "--no-pager", *(word for pin in pins for word in ("-c", pin)), *arguments]

    @contextmanager
    def _translated(self, arguments: Sequence[str]) -> Iterator[None]:
        from git.exc import GitCommandNotFound  # noqa: PLC0415 - see _start_gitpython

        try:
            yield
        except GitCommandNotFound as error:
            raise GitReadFailed(
                f"`git {' '.join(arguments)}` could not start: git is not on PATH. Install git."
            ) from error
        except OSError as error:
            raise GitReadFailed(
                f"`git {' '.join(arguments)}` could not start in {self.git_dir}: {error}. "
                "Check that the repository still exists and that processes can be started."
            ) from error


class GitStream:
    """Output of a running git process. Owned by the thread that reads it."""

    def __init__(self, command: GitCommand, arguments: Sequence[str], process: Any) -> None:
        self._command = command
        self._arguments = arguments
        self._process = process.proc
        self._keep_alive = process
        self._stderr = bytearray()
        self._drain = threading.Thread(
            target=self._read_stderr, name="code2lora-git-stderr", daemon=True
        )
        self._drain.start()

    @property
    def stdout(self) -> IO[bytes]:
        stdout: IO[bytes] = self._process.stdout
        return stdout

    def finish(self) -> None:
        """Wait for git and fail unless it ended well.

        Raises:
            GitReadFailed: git died or complained; what was read so far is not complete.
        """
        status = self._process.wait()
        self._drain.join()
        if status:
            stderr = self._stderr.decode("utf-8", "replace")
            raise self._command.failure(self._arguments, status, stderr)

    def close(self) -> None:
        """Stop git if it still runs, and close its pipes."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.stdout.close()
        self._process.wait()
        self._drain.join()
        self._process.stderr.close()

    def incomplete(self, what: str) -> GitReadFailed:
        """The error for an answer that ended, or went astray, before ``what``."""
        return GitReadFailed(
            f"`git {' '.join(self._arguments)}` did not answer with {what}: the object is missing "
            "or damaged. Run `git fsck` in the repository."
        )

    def _read_stderr(self) -> None:
        for line in self._process.stderr:
            self._stderr += line
            del self._stderr[: -4 * _STDERR_TAIL_CHARS]


def object_id_length(common_dir: Path) -> int:
    """Hexadecimal digits of the repository's object ids: 40 for SHA-1, 64 for SHA-256."""
    try:
        config = (common_dir / "config").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 40
    return 64 if _SHA256.search(config) else 40


def _start_gitpython(git_dir: Path) -> "Git":
    """A GitPython command object; imported late, as importing it runs git and takes a while."""
    try:
        from git.cmd import Git  # noqa: PLC0415 - the import fails where git is absent
    except ImportError as error:
        raise GitReadFailed("git is not installed or not on PATH. Install git.") from error
    return Git(git_dir)


def _environment(git_dir: Path, common_dir: Path) -> dict[str, str]:
    """Variables that override what a hook, an editor or the user may have exported."""
    return {
        "GIT_DIR": str(git_dir),
        "GIT_COMMON_DIR": str(common_dir),
        "GIT_OBJECT_DIRECTORY": str(common_dir / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_DIFF_OPTS": "",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
        "LANGUAGE": "C",
        "LC_ALL": "C",
    }


def _no_work_tree(git_dir: Path, common_dir: Path) -> dict[str, str]:
    """So that an answer depends on objects alone.

    The git directory stands in for the work tree: without it, git would apply the
    ``.gitattributes`` of whatever is checked out to the diffs of every commit.
    """
    return {
        "GIT_WORK_TREE": str(git_dir),
        "GIT_INDEX_FILE": str(git_dir / "code2lora-lsp-reads-no-index"),
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_ATTR_SOURCE": EMPTY_TREES[object_id_length(common_dir)],
    }


@contextmanager
def _input_file(stdin: bytes | None) -> "Iterator[BinaryIO | None]":
    """Standard input as a file, so that git and we never wait for one another."""
    if stdin is None:
        yield None
        return
    with tempfile.TemporaryFile() as source:
        source.write(stdin)
        source.seek(0)
        yield cast("BinaryIO", source)


def _remedy(said: str) -> str:
    if "promisor" in said or "lazy fetch" in said.lower() or "transport" in said:
        return f"The clone is partial and objects are not here. {COMPLETE_A_PARTIAL_CLONE}"
    return "Run `git fsck` in the repository to see what is damaged."
