"""Is my set-up sound? Each check says what it saw and, if that is not well, what to do."""

import importlib.metadata
import logging
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from code2lora_lsp.check.report import Finding, Verdict
from code2lora_lsp.config import Settings, state_root
from code2lora_lsp.errors import Code2LoraError, FollowError
from code2lora_lsp.runtime.acceptance_counts import counts_path, read_counts

log = logging.getLogger(__name__)

PACKAGES = (
    "torch", "transformers", "peft", "tokenizers", "safetensors",
    "pygls", "lsprotocol", "watchdog", "GitPython",
)  # fmt: skip

PROBE_TEXT = "import os\n\n\ndef read_lines(path):\n    with open(path) as file:\n        return "
SLOW_S = 5.0

Check = Callable[[], Finding]


def examine(settings: Settings, folder: Path, *, deep: bool) -> Iterator[Finding]:
    """Run every check for the repository that holds ``folder``; yields as they finish.

    ``deep`` also loads the models and asks for one completion.
    """
    checks: dict[str, Check] = {
        "python": _python,
        "packages": _packages,
        "device": lambda: _device(settings),
        "kernel": lambda: _kernel(settings),
        "backbone": lambda: _backbone(settings),
        "fim_tokens": lambda: _fim_tokens(settings),
        "checkpoint": lambda: _checkpoint(settings),
        "repository": lambda: _repository(folder),
        "watcher": lambda: _watcher(settings, folder),
        "state_store": lambda: _state_store(settings),
        "adapter": lambda: _adapter(settings, folder),
        "metrics": lambda: _metrics(settings),
    }
    if deep:
        checks["completion"] = lambda: _completion(settings)
    for check_id, check in checks.items():
        yield _guarded(check_id, check)


def _guarded(check_id: str, check: Check) -> Finding:
    """One failing check never hides the next."""
    started_s = time.monotonic()
    try:
        finding = check()
    except Code2LoraError as error:
        finding = Finding(check_id, Verdict.FAIL, str(error))
    except ImportError as error:
        hint = "install the package again, in this environment: pip install code2lora-lsp"
        finding = Finding(check_id, Verdict.FAIL, f"cannot be imported: {error}", hint)
    except Exception as error:
        log.info("check %s", check_id, exc_info=True)
        hint = "a damaged file or a bug of ours: -v shows where; install the package again"
        finding = Finding(check_id, Verdict.FAIL, f"unexpected: {error!r}", hint)
    return replace(finding, took_ms=(time.monotonic() - started_s) * 1000)


def _python() -> Finding:
    detail = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("python", Verdict.OK, detail)


def _packages() -> Finding:
    found = {
        d.name.lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()
    }
    absent = [name for name in PACKAGES if name.lower() not in found]
    versions = [f"{name} {found.get(name.lower())}" for name in PACKAGES]
    if absent:
        hint = "install them: pip install code2lora-lsp"
        return Finding("packages", Verdict.FAIL, f"not installed: {', '.join(absent)}", hint)
    return Finding("packages", Verdict.OK, ", ".join(versions))


def _device(settings: Settings) -> Finding:
    import torch

    from code2lora_lsp.runtime.model_loading import choose_device

    device, dtype = choose_device(settings.model)
    has_cuda = torch.cuda.is_available()
    seen = torch.cuda.get_device_name() if has_cuda else "no CUDA device on this machine"
    return Finding("device", Verdict.OK, f"{device}, {str(dtype).removeprefix('torch.')} ({seen})")


def _kernel(settings: Settings) -> Finding:
    """Loads nothing that the check of the device has not loaded."""
    from code2lora_lsp.neural.kernel.library import kernel_build
    from code2lora_lsp.runtime.model_loading import choose_device

    device, _ = choose_device(settings.model)
    if device.type != "cpu":
        return Finding("kernel", Verdict.SKIP, f"not needed on {device}")
    build = kernel_build()
    if build is None:
        hint = "install a C compiler and install again; suggestions take several times as long"
        return Finding("kernel", Verdict.WARN, "not compiled, or not for this processor", hint)
    return Finding("kernel", Verdict.OK, f"compiled ({build})")


def _backbone(settings: Settings) -> Finding:
    from code2lora_lsp.runtime.model_folders import backbone_folder, verify_backbone

    folder = backbone_folder(settings)
    return Finding("backbone", Verdict.OK, f"{folder}: {verify_backbone(folder)}")


def _fim_tokens(settings: Settings) -> Finding:
    from code2lora_lsp.runtime.model_folders import backbone_folder
    from code2lora_lsp.text.tokenizer import Tokenizer, fim_order

    folder = backbone_folder(settings)
    tokens = Tokenizer.from_folder(folder).fim_tokens()
    detail = (
        f"{fim_order(folder)} prompts with prefix {tokens.prefix}, suffix {tokens.suffix}, "
        f"middle {tokens.middle}, end of text {tokens.end_of_text}"
    )
    return Finding("fim_tokens", Verdict.OK, detail)


def _checkpoint(settings: Settings) -> Finding:
    from code2lora_lsp.runtime.following import chosen, describe

    choice = chosen(settings)
    if choice is None:
        hint = "`code2lora-lsp calibrate` makes what adapters for this backbone need"
        if settings.model.checkpoint == "off" or not settings.follow.enabled:
            hint = "the settings ask for none: model.checkpoint, follow.enabled"
        return Finding("checkpoint", Verdict.WARN, "none: completions carry no adapter", hint)
    return Finding("checkpoint", Verdict.OK, describe(settings, choice))


def _repository(folder: Path) -> Finding:
    from code2lora_lsp.history.repository import Repository

    repository = Repository.discover(folder)
    head, shape = repository.head(), repository.shape
    traits = [
        name
        for name, holds in (
            ("shallow clone", shape.is_shallow),
            ("linked worktree", shape.is_linked_worktree),
            ("submodule", shape.is_submodule),
        )
        if holds
    ]
    where = f"{repository.root}, HEAD {(head.commit_id or 'unborn')[:12]}"
    branch = f" on {head.branch}" if head.branch else " (detached)"
    detail = where + branch + "".join(f", {trait}" for trait in traits)
    if head.commit_id is None:
        return Finding("repository", Verdict.WARN, detail, "make a first commit")
    return Finding("repository", Verdict.OK, detail)


def _watcher(settings: Settings, folder: Path) -> Finding:
    from code2lora_lsp.history.repository import Repository
    from code2lora_lsp.history.watcher import HeadWatcher

    repository = Repository.discover(folder)
    watcher = HeadWatcher(repository, lambda _: None, poll_s=settings.follow.poll_s)
    watcher.start()
    try:
        seconds = watcher.probe()
    except FollowError as error:
        return Finding("watcher", Verdict.WARN, str(error))
    finally:
        watcher.stop()
    return Finding("watcher", Verdict.OK, f"a touch is seen after {seconds * 1000:.0f} ms")


def _state_store(settings: Settings) -> Finding:
    from code2lora_lsp.runtime.state_store import StateStore

    root = state_root(settings)
    try:
        StateStore(root, "probe", "probe").probe()
    except OSError as error:
        hint = "set follow.stateDir to a folder that can be written"
        return Finding("state_store", Verdict.FAIL, f"{root}: {error}", hint)
    return Finding("state_store", Verdict.OK, f"{root} can be written and read back")


def _adapter(settings: Settings, folder: Path) -> Finding:
    from code2lora_lsp.runtime.following import stored_progress

    progress = stored_progress(settings, folder)
    if isinstance(progress, str):
        return Finding("adapter", Verdict.SKIP, progress)
    done, total, commit_id = progress.done, progress.total, progress.commit_id
    if total == 0:
        return Finding("adapter", Verdict.OK, "up to date: made of one tree, no commit to fold")
    if commit_id is None:
        hint = "it is made when the server starts; `code2lora-lsp adapt` makes it now"
        return Finding(
            "adapter", Verdict.SKIP, f"no state stored yet, {total} commits to fold", hint
        )
    behind = f"{total - done} of {total} commits behind HEAD" if done < total else "up to date"
    return Finding("adapter", Verdict.OK, f"state @ {commit_id[:12]}, {behind}")


def _metrics(settings: Settings) -> Finding:
    path = counts_path(settings)
    if not settings.metrics.enabled:
        return Finding("metrics", Verdict.SKIP, "nothing is counted: metrics.enabled is off")
    kept = read_counts(path)
    if kept is None:
        return Finding("metrics", Verdict.SKIP, "no suggestion was counted yet")
    seen = kept.counts
    detail = (
        f"since {kept.since[:10]} {seen.shown:,} suggestions shown, {seen.accepted:,} accepted, "
        f"{seen.accepted_words:,} words and {seen.accepted_lines:,} lines of others; "
        f"{seen.kept:,} of {seen.judged:,} kept after 30 s; in {path}, sent nowhere"
    )
    return Finding("metrics", Verdict.OK, detail)


def _completion(settings: Settings) -> Finding:
    from code2lora_lsp.runtime.api import Completion
    from code2lora_lsp.runtime.oneshot import OneShot

    with OneShot(settings) as shot:
        loaded_s = time.monotonic()
        shot.wait_ready()
        loaded_s = time.monotonic() - loaded_s
        cold = shot.complete_text(PROBE_TEXT)
    if not isinstance(cold[0], Completion):
        hint = "the model offers nothing for plain Python; is it a code model?"
        return Finding("completion", Verdict.WARN, f"nothing offered: {cold[0]}", hint)
    detail = f"model ready after {loaded_s:.1f} s, completion {cold[1] * 1000:.0f} ms cold"
    hint = "choose a smaller model or a GPU" if cold[1] > SLOW_S else ""
    return Finding("completion", Verdict.WARN if hint else Verdict.OK, detail, hint)
