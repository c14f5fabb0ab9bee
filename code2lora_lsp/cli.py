"""The command line. Without arguments it is the language server."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from code2lora_lsp import app
from code2lora_lsp.config import Settings, decode_settings
from code2lora_lsp.errors import Code2LoraError, ConfigError

EXIT_OK, EXIT_FINDINGS, EXIT_BROKEN, EXIT_INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 1 findings, 2 a clear error, 130 Ctrl+C).

    Set before torch is imported: its threads must sleep while they wait. Busy waiting takes the
    core from whatever else runs, and doubled the time per keystroke where it was measured.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = _parser().parse_args(argv)
    _set_up_logging(arguments.log_file, arguments.verbose)
    try:
        code: int = arguments.run(arguments)
    except Code2LoraError as error:
        print(f"code2lora-lsp: {error}", file=sys.stderr)
        return EXIT_BROKEN
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="code2lora-lsp",
        description="A local language server whose completion knows your repository. "
        "Without a command it serves over standard input and output.",
    )
    parser.add_argument("--version", action="version", version=f"code2lora-lsp {app.version()}")
    parser.add_argument("--stdio", action="store_true", help="serve over stdio (the default)")
    parser.add_argument("--tcp", metavar="[HOST:]PORT", help="serve on a TCP address instead")
    parser.add_argument(
        "--check", nargs="*", metavar="PATH", help="is my set-up sound? exit code 0, 1 or 2"
    )
    parser.add_argument("--deep", action="store_true", help="with --check: time a real completion")
    _add_common(parser)
    parser.set_defaults(run=_serve_or_check)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_complete(commands)
    _add_adapt(commands)
    _add_import(commands)
    _add_export(commands)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--settings", type=Path, metavar="FILE", help="settings as JSON")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="overrides",
        help="one setting, such as model.device=cpu",
    )  # fmt: skip
    parser.add_argument("--log-file", type=Path, metavar="FILE", help="log here, not to stderr")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="more log lines")


def _add_complete(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("complete", help="one completion: FILE:LINE:COL, counted from 1")
    parser.add_argument("place", metavar="FILE:LINE:COL")
    parser.add_argument("--no-adapter", action="store_true", help="the plain backbone")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    _add_common(parser)
    parser.set_defaults(run=_complete)


def _add_adapt(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("adapt", help="follow a repository up to HEAD, now")
    parser.add_argument("repository", type=Path, nargs="?", default=Path())
    parser.add_argument("--out", type=Path, metavar="PEFT_DIR", help="also write a PEFT adapter")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    _add_common(parser)
    parser.set_defaults(run=_adapt)


def _add_import(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("import", help="turn a published checkpoint into ours")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT.pt")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--backbone-name", help="of a backbone other than the published one")
    parser.add_argument("--layers", type=int, help="number of its layers")
    _add_common(parser)
    parser.set_defaults(run=_import)


def _add_export(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("export", help="write a repository's adapter as a PEFT folder")
    parser.add_argument("repository", type=Path)
    parser.add_argument("out", type=Path, metavar="PEFT_DIR")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    _add_common(parser)
    parser.set_defaults(run=_adapt)


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = app.read_settings(arguments.settings)
    for override in arguments.overrides:
        name, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"--set {override!r}: expected NAME=VALUE")
        raw: object = _json_or_text(value)
        for part in reversed(name.split(".")):
            raw = {part: raw}
        settings = decode_settings(raw, settings)
    return settings


def _json_or_text(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value


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
    settings = _settings(arguments)
    if arguments.check is not None:
        return _check(arguments, settings)
    if not arguments.tcp:
        return app.serve_stdio(settings)
    host, _, port = arguments.tcp.rpartition(":")
    if not port.isdigit():
        raise ConfigError(f"--tcp {arguments.tcp!r}: expected PORT or HOST:PORT")
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
    from code2lora_lsp.check.screen import progress_bars
    from code2lora_lsp.runtime.api import Completion
    from code2lora_lsp.runtime.oneshot import OneShot

    path, line, column = _place(arguments.place)
    with progress_bars() as listener, OneShot(_settings(arguments), listener) as shot:
        shot.wait_ready()
        root = None
        if not arguments.no_adapter and shot.backend.open_repository(path.parent) is not None:
            root = Path(shot.follow(path.parent).root)
        result = shot.complete(path, line, column, root)
    found = isinstance(result, Completion)
    if arguments.format == "json":
        kind = "completion" if found else "none"
        print(json.dumps({"kind": kind, **asdict(result)}, default=str))
    elif isinstance(result, Completion):
        print(result.text)
    else:
        print(f"nothing offered: {result.reason.value} {result.detail}".rstrip(), file=sys.stderr)
    return EXIT_OK if found else EXIT_FINDINGS


def _place(place: str) -> tuple[Path, int, int]:
    name, line, column = (["", "", *place.rsplit(":", 2)])[-3:]
    if not (name and line.isdigit() and column.isdigit()):
        raise ConfigError(f"{place!r}: expected FILE:LINE:COL, such as app.py:12:5")
    return Path(name).absolute(), int(line), int(column)


def _adapt(arguments: argparse.Namespace) -> int:
    from code2lora_lsp.check.screen import progress_bars
    from code2lora_lsp.neural.peft_format import save_peft
    from code2lora_lsp.runtime.oneshot import OneShot

    with progress_bars() as listener, OneShot(_settings(arguments), listener) as shot:
        name = shot.wait_ready().backbone
        status = shot.follow(arguments.repository)
        adapter = shot.adapter(Path(status.root))
    assert adapter is not None
    if arguments.out:
        save_peft(adapter, arguments.out, name or "")
    if arguments.format == "json":
        print(json.dumps({**asdict(status), "state": status.state.value, "rank": adapter.rank}))
    else:
        print(
            f"adapter {adapter.adapter_id} @ {(adapter.commit_id or '')[:12]} (rank {adapter.rank})"
        )
        if arguments.out:
            print(f"written to {arguments.out}")
    return EXIT_OK


def _import(arguments: argparse.Namespace) -> int:
    from code2lora_lsp.neural.code2lora.published import import_published

    import_published(
        arguments.checkpoint, arguments.folder,
        backbone_name=arguments.backbone_name, n_layers=arguments.layers,
    )  # fmt: skip
    print(f"imported {arguments.checkpoint.name} into {arguments.folder}")
    return EXIT_OK
