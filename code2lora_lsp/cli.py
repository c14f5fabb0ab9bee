"""The command line. Without arguments it is the language server."""

import argparse
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from code2lora_lsp import app
from code2lora_lsp.arguments import parsed, rank_of, repository_and_history, settings_of
from code2lora_lsp.config import Settings, decode_settings
from code2lora_lsp.errors import Code2LoraError, ConfigError, FollowError
from code2lora_lsp.history.discovery import locate
from code2lora_lsp.runtime.file_place import FilePlace

if TYPE_CHECKING:
    from code2lora_lsp.runtime.api import Exported, RepositoryStatus
    from code2lora_lsp.runtime.oneshot import OneShot

EXIT_OK, EXIT_FINDINGS, EXIT_BROKEN, EXIT_INTERRUPTED = 0, 1, 2, 130

LAST_PORT = 65_535


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 1 findings, 2 a clear error, 130 Ctrl+C).

    Set before torch is imported: its threads must sleep while they wait. Busy waiting takes the
    core from whatever else runs, and doubled the time per keystroke where it was measured. numpy
    gets one thread: a second made a matrix times a vector seven times slower beside other work.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _print_what_the_encoding_can()
    arguments = parsed(sys.argv[1:] if argv is None else argv)
    _set_up_logging(arguments.log_file, arguments.verbose + arguments.command_verbose)
    try:
        code = COMMANDS[arguments.command](arguments)
    except Code2LoraError as error:
        print(f"code2lora-lsp: {error}", file=sys.stderr)
        return EXIT_BROKEN
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _print_what_the_encoding_can() -> None:
    """A mark that a pipe's encoding lacks becomes a question mark, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _set_up_logging(log_file: Path | None, verbosity: int) -> None:
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    try:
        handler = logging.FileHandler(log_file) if log_file else logging.StreamHandler(sys.stderr)
    except OSError as error:
        raise SystemExit(f"code2lora-lsp: log file {log_file}: {error.strerror}") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("code2lora_lsp").setLevel(level)


def _serve_or_check(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    if arguments.check is not None:
        return _check(arguments, settings)
    if not arguments.tcp:
        return app.serve_stdio(settings)
    host, _, port = arguments.tcp.rpartition(":")
    if not port.isdecimal() or int(port) > LAST_PORT:
        raise ConfigError(
            f"--tcp {arguments.tcp!r}: expected PORT or HOST:PORT, a port being 0 to {LAST_PORT}"
        )
    return app.serve_tcp(settings, host or "127.0.0.1", int(port))


def _check(arguments: argparse.Namespace, settings: Settings) -> int:
    from code2lora_lsp.check.doctor import examine
    from code2lora_lsp.check.report import Finding, as_json, exit_code
    from code2lora_lsp.check.screen import print_finding, print_verdict

    findings: list[Finding] = []
    for folder in arguments.check or ["."]:
        for finding in examine(settings, Path(folder), deep=arguments.deep):
            findings.append(finding)
            if arguments.format == "text":
                print_finding(finding)
    if arguments.format == "json":
        print(as_json(findings, app.version()))
    else:
        print_verdict(findings)
    return exit_code(findings)


def _complete(arguments: argparse.Namespace) -> int:
    path, line, column = _place(arguments.place)
    settings = settings_of(arguments)
    place = FilePlace.read(path, line, column)  # as in `_adapt`: before anything is loaded

    from code2lora_lsp.check.screen import progress_bars
    from code2lora_lsp.runtime.api import Completion
    from code2lora_lsp.runtime.oneshot import OneShot

    with progress_bars() as listener, OneShot(settings, listener) as shot:
        shot.wait_ready()
        root = None if arguments.no_adapter else _followed(shot, path.parent)
        result = shot.complete(place, root)
    found = isinstance(result, Completion)
    if arguments.format == "json":
        kind = "completion" if found else "none"
        print(json.dumps({"kind": kind, **asdict(result)}, default=str))
    elif isinstance(result, Completion):
        print(result.text)
    else:
        print(f"nothing offered: {result.reason.value} {result.detail}".rstrip(), file=sys.stderr)
    return EXIT_OK if found else EXIT_FINDINGS


def _followed(shot: "OneShot", folder: Path) -> Path | None:
    """The repository whose adapter a completion carries, if it has one: an editor goes on too."""
    root = shot.backend.open_repository(folder)
    if root is not None:
        try:
            shot.follow(folder)
            knowledge = shot.knowledge(root)
            if knowledge is None or knowledge.is_empty:
                print("without the adapter of HEAD: nothing is known of it yet", file=sys.stderr)
        except FollowError as error:
            print(f"without the adapter of HEAD: {error}", file=sys.stderr)
    return root


def _place(place: str) -> tuple[Path, int, int]:
    name, line, column = (["", "", *place.rsplit(":", 2)])[-3:]
    if not (name and line.isdecimal() and column.isdecimal()):
        raise ConfigError(f"{place!r}: expected FILE:LINE:COL, such as app.py:12:5")
    return Path(name).absolute(), int(line), int(column)


def _adapt(arguments: argparse.Namespace) -> int:
    rank = rank_of(arguments)
    repository, n_commits = repository_and_history(arguments)
    settings = settings_of(arguments)
    locate(repository)  # before the model library is imported: what is wrong is said at once

    from code2lora_lsp.check.history_table import followed_json, history_lines
    from code2lora_lsp.check.screen import progress_bars
    from code2lora_lsp.runtime.commit_records import Followed
    from code2lora_lsp.runtime.export import refuse_file, why_no_adapter
    from code2lora_lsp.runtime.oneshot import OneShot

    if arguments.out:
        refuse_file(arguments.out)
    written, followed = None, Followed()
    with progress_bars() as listener, OneShot(settings, listener) as shot:
        shot.wait_ready()
        status = shot.follow(repository)
        root = Path(status.root)
        knowledge = shot.knowledge(root)
        adapter = knowledge.adapter if knowledge else None
        if arguments.out:
            written = shot.backend.export_adapter(root, arguments.out, rank)
        if n_commits is not None:
            followed = shot.followed(status, n_commits or None)
    if arguments.format == "json":
        facts = (
            _adapted_json(status, adapter.rank if adapter else None, written)
            if n_commits is None
            else followed_json(status.root, followed)
        )
        print(json.dumps(facts))
        return EXIT_OK
    at = f"@ {(status.adapter_commit or '')[:12]}"
    if adapter:
        print(f"adapter {status.adapter_id} {at} (rank {adapter.rank})")
    else:
        print(f"no adapter {at}: {why_no_adapter(status, knowledge)}")
    if written:
        loss = f", which keeps {written.kept:.1%} of the whole update" if written.kept < 1 else ""
        print(f"written to {written.folder}, rank {written.rank}{loss}")
    if n_commits is not None:
        print(*history_lines(followed), sep="\n")
    return EXIT_OK


def _adapted_json(
    status: "RepositoryStatus", rank: int | None, written: "Exported | None"
) -> dict[str, object]:
    """With the rank of what was written, if anything was."""
    rank, kept = (written.rank, written.kept) if written else (rank, 1.0)
    return {**asdict(status), "state": status.state.value, "rank": rank, "kept": kept}


def _import(arguments: argparse.Namespace) -> int:
    from code2lora_lsp.neural.code2lora.published import import_published
    from code2lora_lsp.runtime.export import refuse_file

    refuse_file(arguments.folder)
    import_published(
        arguments.checkpoint, arguments.folder,
        backbone_name=arguments.backbone_name, n_layers=arguments.layers,
    )  # fmt: skip
    print(f"imported {arguments.checkpoint.name} into {arguments.folder}")
    return EXIT_OK


def _calibrate(arguments: argparse.Namespace) -> int:
    from code2lora_lsp.check.countdown import countdown
    from code2lora_lsp.runtime.calibration import N_TOKENS, calibrate
    from code2lora_lsp.runtime.model_folders import backbone_folder
    from code2lora_lsp.runtime.packages import installed_packages, packages_in

    settings = settings_of(arguments)
    if arguments.backbone is not None:
        settings = decode_settings({"model": {"backbone": arguments.backbone}}, settings)
    backbone = backbone_folder(settings)
    folders = arguments.packages
    packages = (
        [package for folder in folders for package in packages_in(folder)]
        if folders
        else installed_packages()
    )
    n_tokens = N_TOKENS if arguments.tokens is None else arguments.tokens
    with countdown() as report:
        made = calibrate(
            backbone, settings.model, packages, report,
            n_tokens=n_tokens, output=arguments.output,
        )  # fmt: skip
    if arguments.format == "json":
        print(json.dumps(asdict(made), default=str))
        return EXIT_OK
    print(
        f"{made.n_tokens:,} tokens of {made.n_packages} packages for {backbone.name} "
        f"({made.fingerprint}), {'with gates' if made.gates else 'too little source for gates'}"
    )
    print(f"written to {made.folder}")
    return EXIT_OK


def _bench(arguments: argparse.Namespace) -> int:
    if arguments.bench is None:
        arguments.bench_help()
        return EXIT_OK
    from code2lora_lsp.repopeftbench.command import run_bench

    return run_bench(arguments, settings_of(arguments))


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "serve": _serve_or_check,
    "complete": _complete,
    "adapt": _adapt,
    "import": _import,
    "export": _adapt,
    "calibrate": _calibrate,
    "bench": _bench,
}
"""By the names that ``arguments`` gives them; each returns the exit code."""
