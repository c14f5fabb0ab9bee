"""The compiled kernel, where it was built and this processor can run it.

``hatch_build.py`` compiles ``decode_step.c`` once for every level of the processor family that it
knows, when the project is installed from source and a C compiler is there. Without one, and on
any doubt about what lies here, there is no kernel and numpy does the work.
"""

import ctypes
import logging
import platform
import sys
from ctypes import POINTER, Structure, c_float, c_int64, c_void_p
from functools import cache
from pathlib import Path

import torch

log = logging.getLogger(__name__)

VERSION = 1
"""Of the structures below; ``decode_step.c`` has the same number."""

_FOLDER = Path(__file__).parent
_BY_CAPABILITY = {"AVX512": ("x86-64-v4", "x86-64-v3"), "AVX2": ("x86-64-v3",)}
"""What torch says of the processor → builds it can run, the fastest first."""


class Matrix(Structure):
    """[rows, columns]: int8 rows with their scales, or float32 columns; the other is null."""

    _fields_ = (
        ("levels", c_void_p), ("row_scales", c_void_p), ("columns_of", c_void_p),
        ("rows", c_int64), ("columns", c_int64),
    )  # fmt: skip


class Layer(Structure):
    """One decoder layer; vectors are float32."""

    _fields_ = (
        ("qkv", Matrix), ("out", Matrix), ("gate_up", Matrix), ("down", Matrix),
        ("qkv_bias", c_void_p), ("attention_norm", c_void_p), ("mlp_norm", c_void_p),
    )  # fmt: skip


class Model(Structure):
    """Shape, weights and room to work in; see ``step`` for the sizes."""

    _fields_ = (
        *((name, c_int64) for name in (
            "n_layers", "width", "n_heads", "n_kv_heads", "head_dim", "inner_width", "capacity",
        )),
        ("norm_epsilon", c_float), ("softmax_scale", c_float),
        ("layers", POINTER(Layer)), ("head", Matrix), ("final_norm", c_void_p),
        *((name, c_void_p) for name in (
            "hidden", "normed", "added", "qkv_row", "mixed", "gate_up_row", "scores", "rounded",
        )),
    )  # fmt: skip


@cache
def kernel_library() -> ctypes.CDLL | None:
    """The fastest build that runs here and is of this version; ``None`` where there is none."""
    found = _found()
    return found[1] if found else None


def kernel_build() -> str | None:
    """What that build was compiled for, such as ``x86-64-v4``."""
    found = _found()
    return found[0] if found else None


def _found() -> tuple[str, ctypes.CDLL] | None:
    for build in _builds():
        path = _FOLDER / f"decode_step.{sys.platform}.{build}.so"
        if not path.is_file():
            continue
        try:
            library = ctypes.CDLL(str(path))
            found = int(_version_of(library))
        except (OSError, AttributeError) as error:
            log.warning("%s cannot be loaded (%s); tokens run through numpy", path.name, error)
            continue
        if found == VERSION:
            _declare(library)
            return build, library
        log.warning("%s is version %d, not %d; install again", path.name, found, VERSION)
    return None


def _builds() -> tuple[str, ...]:
    if platform.machine().lower() in ("x86_64", "amd64"):
        return _BY_CAPABILITY.get(torch.backends.cpu.get_cpu_capability(), ())
    return (platform.machine().lower(),)


def _version_of(library: ctypes.CDLL) -> int:
    library.code2lora_kernel_version.restype = c_int64
    version: int = library.code2lora_kernel_version()
    return version


def _declare(library: ctypes.CDLL) -> None:
    step = library.code2lora_decode_step
    step.restype = None
    step.argtypes = (POINTER(Model), c_int64, *(c_void_p,) * 5)
    library.code2lora_logits.restype = None
    library.code2lora_logits.argtypes = (POINTER(Model), c_void_p)
