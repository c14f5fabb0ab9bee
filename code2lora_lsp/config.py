"""Settings, decoded in one place from what the editor or the command line sends.

Every option has a default that works; unknown names are an error that lists the known ones, so
that a typing mistake does not silently do nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import platformdirs
from pathspec import GitIgnoreSpec

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.settings_shape import shaped


@dataclass(frozen=True)
class ModelSettings:
    """Which weights are loaded, and where they run.

    Attributes:
        backbone: name of an embedded model, or the folder of a Hugging Face model.
        hypernetwork: what turns a repository into an adapter: the ``ledger``, the paper's
            ``code2lora``, or ``auto``: a checkpoint that is named, else the ledger where
            statistics for the backbone are, else the checkpoint beside it.
        checkpoint: folder of a Code2LoRA checkpoint (see ``code2lora-lsp import``);
            ``auto`` takes the one that ships with the backbone, ``off`` follows with nothing.
        device: ``auto`` is CUDA when present, else the CPU.
        threads: threads of the CPU decoder; 0 lets the engine choose.
    """

    backbone: str = "nano"
    hypernetwork: Literal["auto", "ledger", "code2lora"] = "auto"
    checkpoint: str = "auto"
    encoder: str = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 0


@dataclass(frozen=True)
class CompletionSettings:
    """How completions are asked for and trimmed.

    Attributes:
        max_tokens: most tokens decoded for one suggestion.
        max_lines: most lines of one suggestion, asked for by hand or where a block begins.
        prompt_tokens: budget of the whole prompt.
        suffix_tokens: part of it kept for text after the cursor, at most half; the default
            gives way to a small prompt.
        deadline_s: seconds after which what is there is offered.
        min_confidence: as much of a suggestion is shown as is right with this probability
            (0–1; see ``runtime.confidence``); asked for by hand, all of its first line.
        fallback: offer ``textDocument/completion``: ``auto`` only to clients without inline
            completion.
        max_document_chars: larger documents get no suggestions.
        languages: language ids completions are offered for; empty means all.
    """

    enabled: bool = True
    max_tokens: int = 48
    max_lines: int = 8
    prompt_tokens: int = 1024
    suffix_tokens: int = 128
    deadline_s: float = 5.0
    min_confidence: float = 0.3
    fallback: Literal["auto", "always", "never"] = "auto"
    max_document_chars: int = 1_000_000
    languages: tuple[str, ...] = ("python",)


@dataclass(frozen=True)
class FollowSettings:
    """How a repository is followed.

    Attributes:
        enabled: keep an adapter per repository.
        poll_s: seconds between stat polls, the safety net under the file watcher.
        exclude: extra path patterns (gitignore style) that never reach an adapter or a prompt.
        ledger_tokens: of one tree, written into its ledger; of a larger one a share is.
        working_tree: what is saved in tracked files is known before it is committed.
        state_dir: where states are kept; empty means the platform's cache folder.
    """

    enabled: bool = True
    poll_s: float = 1.5
    exclude: tuple[str, ...] = ()
    ledger_tokens: int = 131_072
    working_tree: bool = True
    state_dir: str = ""


@dataclass(frozen=True)
class MetricsSettings:
    """What is counted of the use of suggestions, on this machine only.

    Attributes:
        enabled: count what was shown, accepted and kept; no text, and nothing is sent.
    """

    enabled: bool = True


@dataclass(frozen=True)
class Settings:
    """Everything a user can set. JSON names are the camelCase of these."""

    model: ModelSettings = field(default_factory=ModelSettings)
    completion: CompletionSettings = field(default_factory=CompletionSettings)
    follow: FollowSettings = field(default_factory=FollowSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)


def decode_settings(raw: object, base: Settings | None = None) -> Settings:
    """Settings from JSON as the editor sends it; missing names keep ``base``'s values.

    Names may be dotted, and all of it may be under ``code2lora`` (see ``settings_shape``).

    Raises:
        ConfigError: unknown name or unusable value; the message names both and the remedy.
    """
    if raw is None:
        return base or Settings()
    decoded = _decode_group(Settings, shaped(raw), base or Settings(), "")
    assert isinstance(decoded, Settings)
    _check_ranges(decoded)
    for pattern in decoded.follow.exclude:
        _check_pattern(pattern)
    return decoded


def setting_names() -> dict[str, object]:
    """Dotted JSON name → default value, for documentation and the doctor."""
    return dict(_walk(Settings(), ""))


def _walk(group: Any, prefix: str) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for item in fields(group):
        name, value = prefix + camel(item.name), getattr(group, item.name)
        found += _walk(value, name + ".") if is_dataclass(value) else [(name, value)]
    return found


def _decode_group(kind: Any, raw: object, base: Any, path: str) -> Any:
    if not isinstance(raw, Mapping):
        raise ConfigError(
            f"setting {path.rstrip('.') or 'code2lora'}: expected an object, got {raw!r}"
        )
    hints = get_type_hints(kind)
    known = {camel(item.name): item.name for item in fields(kind)}
    unknown = sorted(set(raw) - set(known) - set(known.values()))
    if unknown:
        raise ConfigError(f"unknown setting {path + unknown[0]!r}; known here: {', '.join(known)}")
    values = {item.name: getattr(base, item.name) for item in fields(kind)}
    for given, value in raw.items():
        name = known.get(str(given), str(given))
        values[name] = _decode_value(hints[name], value, values[name], path + camel(name))
    return kind(**values)


def _decode_value(hint: Any, raw: object, base: object, path: str) -> object:
    if is_dataclass(hint):
        return _decode_group(hint, raw, base, path + ".")
    if get_origin(hint) is Literal:
        if raw in get_args(hint):
            return raw
        raise ConfigError(
            f"setting {path}: {raw!r} is not one of {', '.join(map(repr, get_args(hint)))}"
        )
    if get_origin(hint) is tuple:
        if isinstance(raw, (list, tuple)) and all(isinstance(item, str) for item in raw):
            return tuple(raw)
        raise ConfigError(f"setting {path}: expected a list of strings, got {raw!r}")
    if hint is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if isinstance(raw, hint) and not (hint is int and isinstance(raw, bool)):
        return raw
    raise ConfigError(f"setting {path}: expected {hint.__name__}, got {raw!r}")


def _check_ranges(settings: Settings) -> None:
    completion, follow = settings.completion, settings.follow
    rules = [
        ("model.threads", settings.model.threads, 0, 256),
        ("completion.maxTokens", completion.max_tokens, 1, 1024),
        ("completion.maxLines", completion.max_lines, 1, 200),
        ("completion.promptTokens", completion.prompt_tokens, 64, 32_768),
        ("completion.suffixTokens", completion.suffix_tokens, 0, 16_384),
        ("completion.deadlineS", completion.deadline_s, 0.05, 600),
        ("completion.minConfidence", completion.min_confidence, 0, 1),
        ("completion.maxDocumentChars", completion.max_document_chars, 1, 100_000_000),
        ("follow.ledgerTokens", follow.ledger_tokens, 1_024, 100_000_000),
        ("follow.pollS", follow.poll_s, 0.2, 3600),
    ]
    for name, value, low, high in rules:
        if not low <= value <= high:
            raise ConfigError(f"setting {name}: {value!r} is outside {low} to {high}")
    prompt, suffix = completion.prompt_tokens, completion.suffix_tokens
    # editors send defaults too, so the default is never what somebody asked for
    if suffix > prompt // 2 and suffix != CompletionSettings.suffix_tokens:
        raise ConfigError(
            f"settings completion.suffixTokens and completion.promptTokens: {suffix} is more than "
            f"half of {prompt}; lower the one or raise the other"
        )


def _check_pattern(pattern: str) -> None:
    try:
        GitIgnoreSpec.from_lines([pattern])
    except ValueError as error:
        problem = f"setting follow.exclude: {pattern!r} is not a gitignore pattern: {error}"
        raise ConfigError(problem) from error


def camel(name: str) -> str:
    """The name in JSON of a field."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def models_root() -> Path:
    """Folder of the embedded models: inside an installed wheel, or beside a checkout."""
    package = Path(__file__).parent
    packed = package / "_models"
    return packed if packed.is_dir() else package.parent / "models"


def state_root(settings: Settings) -> Path:
    """Where states, records and counts are kept."""
    given = settings.follow.state_dir
    if given:
        return Path(given).expanduser()
    return platformdirs.user_cache_path("code2lora-lsp", appauthor=False) / "states"
