"""What the command line takes; imports no model library."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from code2lora_lsp import app
from code2lora_lsp.config import Settings, decode_settings
from code2lora_lsp.errors import ConfigError
from code2lora_lsp.repopeftbench.arguments import add_bench
from code2lora_lsp.runtime.api import EXPORT_RANK
from code2lora_lsp.settings_shape import merged

COMMAND_NAMES = frozenset(
    {"complete", "adapt", "import", "export", "calibrate", "bench"}
)  # fmt: skip

AFTER = "command_"
"""Begins the names of repeatable options given after a command: argparse keeps only one value."""


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """The command line, understood; ends the process where it cannot be.

    ``command`` of it is the name of one, ``serve`` without any. ``check`` is ``None`` or the
    folders to check, which may stand anywhere after ``--check``.
    """
    if "--check" in argv and not set(argv[: argv.index("--check")]) & COMMAND_NAMES:
        return check_line().parse_intermixed_args(argv)
    parser = command_line()
    arguments = parser.parse_args(argv)
    if arguments.deep and arguments.check is None:
        parser.error("--deep belongs to --check")
    return arguments


def command_line() -> argparse.ArgumentParser:
    """The parser of everything but ``--check`` with options between it and its folders."""
    parser = _without_a_command()
    parser.add_argument(
        "--check", nargs="*", metavar="PATH", help="is my set-up sound? exit code 0, 1 or 2"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_complete(commands)
    _add_adapt(commands)
    _add_import(commands)
    _add_export(commands)
    _add_calibrate(commands)
    add_bench(commands, lambda bench: _add_common(bench, AFTER)).set_defaults(command="bench")
    return parser


def check_line() -> argparse.ArgumentParser:
    """The parser of ``--check``: no commands, so that a folder may follow any option."""
    parser = _without_a_command()
    parser.add_argument("--check", action="store_true", dest="is_check", help=argparse.SUPPRESS)
    parser.add_argument(
        "check", nargs="*", metavar="PATH", help="check the set-up for these, not for this folder"
    )
    return parser


def _without_a_command() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="code2lora-lsp",
        description="A local language server whose completion knows your repository. "
        "Without a command it serves over standard input and output.",
    )
    parser.add_argument("--version", action="version", version=f"code2lora-lsp {app.version()}")
    parser.add_argument("--stdio", action="store_true", help="serve over stdio (the default)")
    parser.add_argument("--tcp", metavar="[HOST:]PORT", help="serve on a TCP address instead")
    parser.add_argument("--deep", action="store_true", help="with --check: time a real completion")
    _add_common(parser)
    _add_format(parser)
    parser.set_defaults(command="serve", command_overrides=[], command_verbose=0)
    return parser


def _add_common(parser: argparse.ArgumentParser, prefix: str = "") -> None:
    """Options that may stand before a command, after it (with ``prefix``), or both.

    What stands after it wins or, where an option may be given more than once, is added.
    """
    absent = argparse.SUPPRESS if prefix else None
    parser.add_argument(
        "--settings", type=Path, metavar="FILE", default=absent, help="settings as JSON"
    )
    parser.add_argument(
        "--set", action="append", default=absent or [], metavar="NAME=VALUE",
        dest=prefix + "overrides", help="one setting, such as model.device=cpu",
    )  # fmt: skip
    parser.add_argument(
        "--log-file", type=Path, metavar="FILE", default=absent, help="log here, not to stderr"
    )
    parser.add_argument(
        "-v", "--verbose", action="count", default=absent or 0, dest=prefix + "verbose",
        help="more log lines",
    )  # fmt: skip


def _add_format(parser: argparse.ArgumentParser, default: str = "text") -> None:
    parser.add_argument("--format", choices=("text", "json"), default=default)


def _add_complete(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("complete", help="one completion: FILE:LINE:COL, counted from 1")
    parser.add_argument("place", metavar="FILE:LINE:COL")
    parser.add_argument("--no-adapter", action="store_true", help="the plain backbone")
    _add_format(parser, argparse.SUPPRESS)
    _add_common(parser, AFTER)
    parser.set_defaults(command="complete")


def _add_adapt(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("adapt", help="follow a repository up to HEAD, now")
    parser.add_argument("repository", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, metavar="PEFT_DIR", help="also write a PEFT adapter")
    parser.add_argument(
        "--history", type=_commits_or_folder, nargs="?", const=0, metavar="N",
        help="show the commits followed so far: how far each moved the adapter, and whether what "
        "was known before it helps with its lines; with N, as if the newest N had been",
    )  # fmt: skip
    _add_rank(parser)
    _add_format(parser, argparse.SUPPRESS)
    _add_common(parser, AFTER)
    parser.set_defaults(command="adapt")


def _commits_or_folder(given: str) -> int | Path:
    """A number of commits; or the repository, which argparse takes for one."""
    if given.lstrip("-").isdecimal():
        return int(given)
    folder = Path(given)
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"{given!r} is neither a number of commits nor a folder")
    return folder


def _add_rank(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rank", type=int, metavar="N",
        help=f"of a ledger's update at most; what is lost is said (default {EXPORT_RANK})",
    )  # fmt: skip


def _add_import(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("import", help="turn a published checkpoint into ours")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT.pt")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--backbone-name", help="of a backbone other than the published one")
    parser.add_argument("--layers", type=int, help="number of its layers")
    _add_common(parser, AFTER)
    parser.set_defaults(command="import")


def _add_export(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("export", help="write a repository's adapter as a PEFT folder")
    parser.add_argument("repository", type=Path)
    parser.add_argument("out", type=Path, metavar="PEFT_DIR")
    _add_rank(parser)
    _add_format(parser, argparse.SUPPRESS)
    _add_common(parser, AFTER)
    parser.set_defaults(command="export", history=None)


def _add_calibrate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "calibrate", help="make the statistics that adapters for another backbone need",
        description="Reads Python packages on this machine with a backbone and keeps means of "
        "what it sees, so that repositories are followed with it. Nothing leaves the machine. "
        "Memory on top of the model's: by the square of the width inside its MLP, 1.2 GiB at "
        "4,864 and 3.9 GiB at 8,960.",
    )  # fmt: skip
    parser.add_argument(
        "--backbone", metavar="NAME_OR_PATH", help="as the setting model.backbone, its default"
    )
    parser.add_argument(
        "--packages", type=Path, nargs="+", metavar="FOLDER",
        help="projects, or folders of packages; default: those installed beside this command",
    )  # fmt: skip
    parser.add_argument(
        "--tokens", type=int, metavar="N", help="to average; the more, the longer (100,000)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="default: where the server looks"
    )
    _add_format(parser, argparse.SUPPRESS)
    _add_common(parser, AFTER)
    parser.set_defaults(command="calibrate")


def repository_and_history(arguments: argparse.Namespace) -> tuple[Path, int | None]:
    """What ``adapt`` and ``export`` follow, and how many commits to show: 0 is all that are kept.

    Raises:
        ConfigError: one of them makes no sense.
    """
    repository, history = arguments.repository, arguments.history
    if isinstance(history, Path) and repository is None:
        repository, history = history, 0
    if history is not None and (isinstance(history, Path) or history < 0):
        raise ConfigError(f"--history {history}: expected a number of commits")
    return repository or Path(), history


def rank_of(arguments: argparse.Namespace) -> int:
    """Of the adapter that ``adapt`` and ``export`` write, at most.

    Raises:
        ConfigError: it is none, or nothing is written.
    """
    rank: int | None = arguments.rank
    if rank is None:
        return EXPORT_RANK
    if rank < 1:
        raise ConfigError(f"--rank {rank}: expected 1 or more")
    if arguments.out is None:
        raise ConfigError(
            f"--rank {rank} is of an adapter that is written: name its folder with --out PEFT_DIR"
        )
    return rank


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The settings file and, over it, the single settings in the order they were given.

    They are put together first and checked as a whole.

    Raises:
        ConfigError: one of them is not a setting.
    """
    given = app.read_settings(arguments.settings)
    for override in [*arguments.overrides, *arguments.command_overrides]:
        name, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"--set {override!r}: expected NAME=VALUE")
        given = merged(given, {name: _json_or_text(value)})
    return decode_settings(given)


def _json_or_text(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value
