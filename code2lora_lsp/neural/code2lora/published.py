"""Published checkpoints (``torch.save`` files) → our checkpoint folders.

The files are pickles, so they are read with ``weights_only=True``: tensors, plain containers and
a few harmless value classes, never code. Formats: code2lora-spec, section 3.4.
"""

import argparse
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from code2lora_lsp.errors import ModelMismatch, ModelMissing
from code2lora_lsp.neural.code2lora.checkpoint import file_sha256, write_checkpoint
from code2lora_lsp.neural.code2lora.commit_gru import CommitGruConfig
from code2lora_lsp.neural.code2lora.lora_head import QWEN_CODER_1_5B_TYPE_DIMS, LoraHeadConfig
from code2lora_lsp.neural.code2lora.manifest import BackboneReference, CheckpointManifest
from code2lora_lsp.recipe import PUBLISHED_V2, Recipe

PUBLISHED_BACKBONE = "Qwen/Qwen2.5-Coder-1.5B"
PUBLISHED_ENCODER = "Qwen/Qwen3-Embedding-0.6B"
PUBLISHED_N_LAYERS = 28

_HEAD_KEYS = {
    "input_dim", "hidden_dim", "rank", "types", "type_dims", "num_tasks", "task_dim",
}  # fmt: skip
_GRU_KEYS = {"diff_input_dim", "repo_state_dim", "hidden_dim"}


def import_published(
    path: Path,
    folder: Path,
    *,
    backbone_name: str | None = None,
    n_layers: int | None = None,
    recipe: Recipe = PUBLISHED_V2,
) -> CheckpointManifest:
    """Turn an upstream Evo or Static (V2) file into a checkpoint folder.

    Tensors stay mapped from the source file while they are written. What a file leaves out gets
    upstream's loader defaults: rank 16, alpha 32, head width 1024, gru widths 2048, no tasks.

    Args:
        path: the ``.pt`` file.
        folder: where the checkpoint folder is written.
        backbone_name: by default what the file's arguments say.
        n_layers: L of the backbone; known for the published one, asked for otherwise.
        recipe: the recipe its embeddings were made with.

    Raises:
        ModelMissing: there is no such file.
        ModelMismatch: not a checkpoint we know, one that needs code to be read, or one whose
            parts contradict each other.
    """
    content = _read(path)
    arguments = _arguments(content.get("args"), path)
    head_state, gru_state = _states(content, path)
    head = _head_config(content, head_state, path)
    gru = None if gru_state is None else _gru_config(content, path)
    _check_step_input(content.get("per_step_input", arguments.get("per_step_input", "diff")), path)
    manifest = CheckpointManifest(
        kind="static" if gru is None else "evo",
        recipe_id=recipe.recipe_id,
        encoder=PUBLISHED_ENCODER,
        embedding_width=(head.context_width if gru is None else gru.diff_width) // 2,
        backbone=_backbone(head, arguments, backbone_name, n_layers, path),
        alpha=float(arguments.get("alpha", 32.0)),
        head=head,
        gru=gru,
        tasks=_tasks(arguments, head),
        provenance={
            "imported_from": path.name,
            "source_sha256": file_sha256(path),
            "arguments": {key: _plain(value) for key, value in arguments.items()},
            "ignored": sorted(set(content) - _KNOWN_KEYS),
        },
    )
    return write_checkpoint(folder, manifest, _renamed(head_state, gru_state))


_KNOWN_KEYS = {
    "args", "config", "gru_config", "gru_state", "head_config", "head_state", "per_step_input",
    "state_dict", "type_dims",
}  # fmt: skip


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelMissing(f"{path} is not a file; download the published checkpoint first")
    try:
        with _harmless_classes():
            content = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError, KeyError) as error:
        blocked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if blocked:
            raise ModelMismatch(
                f"{path.name} needs {blocked[1]} to be unpickled, which could run code, so it was "
                "not read; ask its publisher for a file of tensors and plain settings"
            ) from error
        raise ModelMismatch(f"{path.name} is no PyTorch checkpoint, or is damaged") from error
    if not isinstance(content, dict):
        raise ModelMismatch(f"{path.name} holds a {type(content).__name__}, not a checkpoint")
    return content


@contextmanager
def _harmless_classes() -> Iterator[None]:
    """Let settings be read that hold a namespace, paths (as pure ones) or numpy numbers.

    None of these classes runs anything when it is restored: each only keeps values.
    """
    rebuild_number = np.float64(0).__reduce__()[0]
    paths = {
        "PosixPath": PurePosixPath,
        "PurePosixPath": PurePosixPath,
        "WindowsPath": PureWindowsPath,
        "PureWindowsPath": PureWindowsPath,
    }
    allowed: list[Any] = [
        argparse.Namespace,
        np.dtype,
        *{type(np.dtype(code)) for code in "?bhilqBHILQefd"},
        *((rebuild_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
        *((p, f"{m}.{n}") for n, p in paths.items() for m in ("pathlib", "pathlib._local")),
    ]
    with torch.serialization.safe_globals(allowed):
        yield


def _arguments(raw: Any, path: Path) -> dict[str, Any]:
    if isinstance(raw, argparse.Namespace):
        return dict(vars(raw))
    if raw is None or isinstance(raw, dict):
        return dict(raw or {})
    raise ModelMismatch(f"{path.name}: args is a {type(raw).__name__}, not a set of settings")


def _states(
    content: Mapping[str, Any], path: Path
) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
    """(head state, gru state); no gru state in a Static file."""
    if "hypernet_state_dict" in content:
        raise ModelMismatch(
            f"{path.name} is a first-generation (V1) hypernetwork, whose embeddings follow another "
            "recipe; import a second-generation checkpoint (head.*.pt or gru_head.*.pt)"
        )
    if "gru_state" in content and "head_state" in content:
        gru_state = _tensors(content["gru_state"], "gru_state", path)
        return _tensors(content["head_state"], "head_state", path), gru_state
    if "state_dict" in content and "config" in content:
        return _tensors(content["state_dict"], "state_dict", path), None
    raise ModelMismatch(
        f"{path.name} holds {sorted(map(str, content))}; a Code2LoRA checkpoint holds "
        "gru_state and head_state (Evo) or state_dict and config (Static)"
    )


def _tensors(state: Any, name: str, path: Path) -> dict[str, Tensor]:
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelMismatch(f"{path.name}: {name} holds something other than tensors")
    return dict(state)


def _head_config(
    content: Mapping[str, Any], state: Mapping[str, Tensor], path: Path
) -> LoraHeadConfig:
    config = _known_only(content.get("head_config") or content.get("config"), _HEAD_KEYS, path)
    rank, n_tasks = int(config.get("rank", 16)), int(config.get("num_tasks", 0))
    dims = config.get("type_dims") or content.get("type_dims") or _dims_from_shapes(state, rank)
    gru_width = (content.get("gru_config") or {}).get("hidden_dim", 2048)
    return LoraHeadConfig(
        type_dims={str(name): (int(n_in), int(n_out)) for name, (n_in, n_out) in dims.items()},
        context_width=int(config.get("input_dim", gru_width)),
        hidden_width=int(config.get("hidden_dim", 1024)),
        rank=rank,
        n_tasks=n_tasks,
        task_width=int(config.get("task_dim", 64)) if n_tasks else 0,
    )


def _gru_config(content: Mapping[str, Any], path: Path) -> CommitGruConfig:
    config = _known_only(content.get("gru_config"), _GRU_KEYS, path)
    return CommitGruConfig(
        diff_width=int(config.get("diff_input_dim", 2048)),
        snapshot_width=int(config.get("repo_state_dim", 2048)),
        hidden_width=int(config.get("hidden_dim", 2048)),
    )


def _known_only(config: Mapping[str, Any] | None, known: set[str], path: Path) -> dict[str, Any]:
    """A setting we do not know may change the maths, so it is refused."""
    unknown = set(config or {}) - known
    if unknown:
        raise ModelMismatch(
            f"{path.name}: unknown settings {sorted(unknown)}; update code2lora-lsp"
        )
    return dict(config or {})


def _dims_from_shapes(state: Mapping[str, Tensor], rank: int) -> dict[str, tuple[int, int]]:
    """(in, out) per type: heads_A has R·in rows and heads_B out·R."""
    types = [key.split(".")[1] for key in state if re.fullmatch(r"heads_A\.\w+\.bias", key)]
    return {
        name: (
            len(state[f"heads_A.{name}.bias"]) // rank,
            len(state.get(f"heads_B.{name}.bias", ())) // rank,
        )
        for name in types
    }


def _check_step_input(mode: Any, path: Path) -> None:
    if mode != "diff":
        raise ModelMismatch(
            f"{path.name} steps on {mode!r} per commit; only checkpoints that step on the diff "
            "embedding are supported"
        )


def _backbone(
    head: LoraHeadConfig,
    arguments: Mapping[str, Any],
    name: str | None,
    n_layers: int | None,
    path: Path,
) -> BackboneReference:
    name = name or str(arguments.get("model_name", PUBLISHED_BACKBONE))
    published = all(QWEN_CODER_1_5B_TYPE_DIMS.get(t) == dims for t, dims in head.type_dims.items())
    if n_layers is None and not (published and name == PUBLISHED_BACKBONE):
        raise ModelMismatch(
            f"{path.name} is for backbone {name}, whose number of layers the file does not say; "
            "give it (n_layers)"
        )
    return BackboneReference(name, PUBLISHED_N_LAYERS if n_layers is None else n_layers)


def _tasks(arguments: Mapping[str, Any], head: LoraHeadConfig) -> tuple[str, ...]:
    names = tuple(str(name) for name in arguments.get("tasks") or ())
    return names if len(names) == head.n_tasks else ()


def _plain(value: Any) -> Any:
    """A setting as JSON: numpy numbers become Python's, anything else unusual its text."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _renamed(
    head_state: Mapping[str, Tensor], gru_state: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    named = {f"head.{key}": tensor for key, tensor in head_state.items()}
    named |= {f"gru.{key}": tensor for key, tensor in (gru_state or {}).items()}
    return {key: t.float() if t.dtype == torch.float64 else t for key, t in named.items()}
