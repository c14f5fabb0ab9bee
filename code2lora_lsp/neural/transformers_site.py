"""Where a ledger writes in a model of transformers; whether it does is tried, not looked up.

No list of families: a model is accepted when it has the modules that ``ledger.site`` is about and,
run on a few tokens, computes with them what ``ledger.site`` says. So Llama, Mistral and Qwen3 are
written like Qwen2; a LayerNorm, experts, scaled logits or a norm behind the MLP are refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from code2lora_lsp.errors import ModelMismatch
from code2lora_lsp.neural.ledger.site import LastLayer, LedgerSite
from code2lora_lsp.neural.lora import Projection

N_PROBED = 8
TOLERANCES = {torch.float32: 1e-3}
"""Of the largest number compared; float32 rounds far below it."""
COARSE_TOLERANCE = 0.05
"""For bfloat16 and float16."""


@dataclass
class _Record:
    """What one pass leaves behind; ``nudge`` is added to what ``down_proj`` gives."""

    nudge: Tensor | None = None
    seen: dict[str, Tensor] = field(default_factory=dict)


_RECORD: ContextVar[_Record | None] = ContextVar("last layer", default=None)
"""Of this thread's pass. The engine's thread runs the same modules and records nothing."""


@dataclass(frozen=True)
class SiteModules:
    """The modules of a model that a ledger is about."""

    model: Any
    projection: Projection
    down: torch.nn.Linear
    norm: Any
    head: torch.nn.Linear

    @classmethod
    def of(cls, model: Any) -> "SiteModules | None":
        """Those of a causal language model, watched from now on; ``None`` where one is absent."""
        projection = Projection(int(model.config.num_hidden_layers) - 1, "down_proj")
        modules: dict[str, Any] = dict(model.named_modules())
        down = modules.get(projection.module_path)
        norm: Any = getattr(model.get_decoder(), "norm", None)
        head = model.get_output_embeddings()
        if not isinstance(down, torch.nn.Linear) or not isinstance(head, torch.nn.Linear):
            return None
        if "bias" in dict(head.named_parameters()) or _eps(norm) is None:
            return None
        down.register_forward_pre_hook(_keep_inner)
        down.register_forward_hook(_nudge)
        norm.register_forward_pre_hook(_keep_output)
        norm.register_forward_hook(_keep_normed)
        return cls(model, projection, down, norm, head)

    def site(self) -> LedgerSite:
        """The site, once the model was seen to compute with it.

        Raises:
            ModelMismatch: it computes something else.
        """
        weight = self.norm.weight.detach()
        width, inner_width = self.down.weight.shape
        eps = _eps(self.norm)
        assert eps is not None
        site = LedgerSite(
            self.projection, width, inner_width, weight, eps, self.head.weight.detach()
        )
        wrong = self._disagreements(site)
        if wrong:
            raise ModelMismatch(
                f"{type(self.model).__name__}: a ledger cannot write here, {' and '.join(wrong)}; "
                "set model.checkpoint to 'off', or use another model.backbone"
            )
        return site

    def last_layer(self, token_ids: Tensor) -> LastLayer:
        """See ``ledger.site``; the caller checks ``token_ids``."""
        with _recording(_Record()) as record:
            self.model.get_decoder()(input_ids=token_ids, use_cache=False)
        return LastLayer(record.seen["inner"], record.seen["output"])

    @torch.no_grad()
    def logits(self, output: Tensor) -> Tensor:
        """See ``ledger.site``."""
        return F.linear(self.norm(output).to(self.head.weight.dtype), self.head.weight).float()

    def _disagreements(self, site: LedgerSite) -> list[str]:
        """What the model does otherwise, in words."""
        ids = torch.arange(N_PROBED, device=site.head.device)[None] % site.head.shape[0]
        with _recording(_Record()) as plain:
            logits = self.model(input_ids=ids, use_cache=False).logits
        output, normed = plain.seen["output"], plain.seen["normed"]
        nudge = output.roll(1, dims=-1)  # any direction, as long as what it is added to
        with _recording(_Record(nudge)) as nudged:
            self.model.get_decoder()(input_ids=ids, use_cache=False)
        rms = output.float().pow(2).mean(-1, keepdim=True).add(site.rms_norm_eps).sqrt()
        wrong = {
            "its final norm is no plain RMSNorm": _differ(normed, site.final_norm * output / rms),
            "its logits are not its head's": _differ(logits, F.linear(normed, site.head)),
            "its last MLP is not added as it is": _differ(nudged.seen["output"], output + nudge),
        }
        return [what for what, differs in wrong.items() if differs]


@contextmanager
def _recording(record: _Record) -> Iterator[_Record]:
    token = _RECORD.set(record)
    try:
        with torch.no_grad():
            yield record
    finally:
        _RECORD.reset(token)


def _differ(first: Tensor, second: Tensor) -> bool:
    tolerance = TOLERANCES.get(first.dtype, COARSE_TOLERANCE)
    first, second = first.float(), second.float()
    largest = float(second.abs().max())
    return not float((first - second).abs().max()) <= tolerance * largest  # NaN differs too


def _eps(norm: Any) -> float | None:
    """The ε of a norm with a weight, under either of the names in use."""
    eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    return None if eps is None or getattr(norm, "weight", None) is None else float(eps)


def _keep_inner(_: Any, inputs: tuple[Tensor, ...]) -> None:
    if (record := _RECORD.get()) is not None:
        record.seen["inner"] = inputs[0]


def _nudge(_: Any, __: Any, result: Tensor) -> Tensor | None:
    record = _RECORD.get()
    return None if record is None or record.nudge is None else result + record.nudge


def _keep_output(_: Any, inputs: tuple[Tensor, ...]) -> None:
    if (record := _RECORD.get()) is not None:
        record.seen["output"] = inputs[0]


def _keep_normed(_: Any, __: Any, result: Tensor) -> None:
    if (record := _RECORD.get()) is not None:
        record.seen["normed"] = result
