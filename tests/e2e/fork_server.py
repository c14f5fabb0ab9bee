"""Starts fake servers by forking a process that has already imported everything.

Building lsprotocol's classes takes half a second of CPU, and the tests start dozens of servers.
Each one is still a process of its own that serves its own stdio; only the imports are shared.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

ROOT = Path(__file__).parents[2]


class ForkedServer:
    """What ``subprocess.Popen`` would be for a forked server: the parts ``LspClient`` uses."""

    def __init__(self, script: dict[str, Any], stderr: BinaryIO) -> None:
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        self._news, theirs_news = os.pipe()
        given = [theirs_in, theirs_out, stderr.fileno(), theirs_news]
        socket.send_fds(_running_forker(), [json.dumps(script).encode()], given)
        for descriptor in (theirs_in, theirs_out, theirs_news):
            os.close(descriptor)
        self.stdin = os.fdopen(ours_in, "wb", 0)
        self.stdout = os.fdopen(ours_out, "rb", 0)
        self.pid = int(os.read(self._news, 16))
        self.returncode: int | None = None

    def wait(self, timeout: float = 15) -> int:
        if self.returncode is None:
            if not select.select([self._news], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("forked server", timeout)
            self.returncode = int(os.read(self._news, 16))
            os.close(self._news)
        return self.returncode

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


_forker: list[socket.socket] = []


def _running_forker() -> socket.socket:
    """The forking process, started once; it ends when this process does."""
    if not _forker:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", __spec__.name, str(theirs.fileno())]
        process = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()])
        process.returncode = 0  # never waited for: not worth a warning
        theirs.close()
        _forker.append(ours)
    return _forker[0]


def _fork_for(requests: socket.socket) -> None:
    from tests.e2e import fake_server

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        script, descriptors, _flags, _address = socket.recv_fds(requests, 1 << 16, 4)
        if not script:
            return
        if os.fork() == 0:
            requests.close()
            sys.argv[1:] = [script.decode()]
            _supervise(descriptors, fake_server.main)
        for descriptor in descriptors:
            os.close(descriptor)


def _supervise(descriptors: list[int], serve: Any) -> None:
    """Fork the server itself, tell its pid, wait for it, tell its exit code."""
    *standard, news = descriptors
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if (pid := os.fork()) == 0:
        for target, descriptor in enumerate(standard):
            os.dup2(descriptor, target)
        for descriptor in descriptors:
            os.close(descriptor)
        code = 70
        try:
            code = serve()
        finally:
            sys.stderr.flush()
            os._exit(code)
    for descriptor in standard:
        os.close(descriptor)
    os.write(news, b"%d" % pid)
    _pid, status = os.waitpid(pid, 0)
    os.write(news, b"%d" % os.waitstatus_to_exitcode(status))
    os._exit(0)


if __name__ == "__main__":
    _fork_for(socket.socket(fileno=int(sys.argv[1])))
