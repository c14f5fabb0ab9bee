"""Any other architecture, through transformers: slower, same small interface.

Adapters need the projections to be called as in ``lora.Projection.module_path`` (Llama, Mistral,
Qwen3 and most relatives); an architecture that names them otherwise runs without adapters. What a
ledger needs besides is in ``transformers_site``.
"""

import copy
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from code2lora_lsp.errors import AdapterRejected, ModelMismatch, ShapeMismatch
from code2lora_lsp.neural.backbone import CHUNK_TOKENS
from code2lora_lsp.neural.decoder_weights import HALF_MERGED, check_fits, merge_into
from code2lora_lsp.neural.ledger.site import LastLayer, LedgerSite
from code2lora_lsp.neural.lora import (
    PROJECTION_NAMES,
    LoraAdapter,
    Projection,
    leaves_cache_alone,
)
from code2lora_lsp.neural.transformers_site import SiteModules


class TransformersCache:
    """transformers' growing cache with the tokens it holds; see ``backbone.Cache``."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.tokens: list[int] = []
        self.adapter_id: str | None = None
        self.entries = _new_entries()

    def crop(self, length: int) -> None:
        surplus = len(self.tokens) - length
        if not 0 <= surplus <= len(self.tokens):
            raise ShapeMismatch(f"cannot keep {length} of {len(self.tokens)} cached tokens")
        if length == 0:
            self.entries = _new_entries()
        elif surplus:  # transformers 5 refuses positive counts: this removes, it does not keep
            self.entries.crop(-surplus)
        del self.tokens[length:]

    def rebind(self, adapter_id: str | None, *, keeps_tokens: bool = False) -> None:
        if not keeps_tokens:
            self.crop(0)
        self.adapter_id = adapter_id


class TransformersWeights:
    """A module to run, and the adapter merged into it (``None``: the pristine one)."""

    def __init__(self, module: Any, adapter_id: str | None) -> None:
        self.module = module
        self.adapter_id = adapter_id


class TransformersDecoder:
    """A causal language model of transformers; satisfies ``backbone.Backbone``."""

    def __init__(
        self,
        model: Any,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Take a ``transformers`` causal language model; nobody else may write its weights."""
        self.device = torch.device(device)
        self.dtype = dtype
        self.pristine = TransformersWeights(model.to(device=self.device, dtype=dtype).eval(), None)
        self.vocabulary_size = int(model.config.vocab_size)
        self.max_positions = int(getattr(model.config, "max_position_embeddings", 2048))
        self.chunk_tokens = CHUNK_TOKENS
        self.ahead_tokens = 0
        self._views = _projection_views(model)
        self._site_modules = SiteModules.of(model)
        self._second: TransformersWeights | None = None

    @classmethod
    def from_folder(
        cls, folder: Path, device: torch.device | str, dtype: torch.dtype
    ) -> "TransformersDecoder":
        """Load a local Hugging Face model folder; nothing is downloaded and no code of it runs.

        Raises:
            ModelMismatch: transformers cannot load it as a causal language model.
        """
        from transformers import AutoModelForCausalLM  # noqa: PLC0415 - seconds, only if needed

        try:
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ModelMismatch(f"transformers cannot load {folder}: {error}") from error
        return cls(model, device, dtype)

    @property
    def memory_bytes(self) -> int:
        modules = [self.pristine.module, *([self._second.module] if self._second else [])]
        tensors = {t.data_ptr(): t for module in modules for t in module.parameters()}
        return sum(t.numel() * t.element_size() for t in tensors.values())

    def new_cache(self, capacity: int) -> TransformersCache:
        if not 0 < capacity <= self.max_positions:
            raise ShapeMismatch(
                f"a cache of {capacity} tokens; positions end at {self.max_positions}"
            )
        return TransformersCache(capacity)

    def check_fits(self, adapter: LoraAdapter) -> None:
        if not self._views:
            raise AdapterRejected("this architecture's projections have names we do not know")
        check_fits(self._views, adapter)

    def keeps_cache(self, before: LoraAdapter | None, after: LoraAdapter | None) -> bool:
        n_layers = int(self.pristine.module.config.num_hidden_layers)
        return leaves_cache_alone(before, n_layers) and leaves_cache_alone(after, n_layers)

    @torch.inference_mode()
    def merged(self, adapter: LoraAdapter | None) -> TransformersWeights:
        """As ``Decoder.merged``: a second copy of the projections, all else shared."""
        if adapter is None:
            return self.pristine
        self.check_fits(adapter)
        if self._second is None:
            self._second = TransformersWeights(self._second_module(), HALF_MERGED)
        if self._second.adapter_id == adapter.adapter_id:
            return self._second
        self._second.adapter_id = HALF_MERGED
        for projection, target in _projection_views(self._second.module).items():
            pair = adapter.pairs.get(projection)
            merge_into(target, self._views[projection], pair, adapter.scale)
        self._second.adapter_id = adapter.adapter_id
        return self._second

    @torch.inference_mode()
    def prefill(
        self,
        token_ids: Sequence[int],
        cache: TransformersCache,
        weights: TransformersWeights | None = None,
    ) -> Tensor:
        """Append ``token_ids`` to the cache in one pass; logits after the last, [V] float32."""
        return self._run(token_ids, cache, weights, n_logits=1)[-1]

    @torch.inference_mode()
    def decode_ahead(
        self,
        token_ids: Sequence[int],
        cache: TransformersCache,
        weights: TransformersWeights | None = None,
    ) -> Tensor:
        """See ``backbone.Backbone``."""
        return self._run(token_ids, cache, weights, n_logits=len(token_ids))

    def _run(
        self,
        token_ids: Sequence[int],
        cache: TransformersCache,
        weights: TransformersWeights | None,
        n_logits: int,
    ) -> Tensor:
        """Logits after the last tokens, [n_logits, V] float32."""
        weights = weights or self.pristine
        end = len(cache.tokens) + len(token_ids)
        if not token_ids or end > cache.capacity:
            raise ShapeMismatch(f"{len(token_ids)} tokens up to {end} of {cache.capacity}")
        if cache.adapter_id != weights.adapter_id:
            raise AssertionError(
                f"a cache of adapter {cache.adapter_id} met weights of {weights.adapter_id}"
            )
        try:
            output = weights.module(
                input_ids=torch.tensor([list(token_ids)], device=self.device),
                past_key_values=cache.entries,
                use_cache=True,
                logits_to_keep=n_logits,
            )
        except BaseException:  # some layers may have grown: only an empty cache is known good
            cache.crop(0)
            raise
        cache.entries = output.past_key_values
        cache.tokens.extend(token_ids)
        logits: Tensor = output.logits[0].float()
        return logits

    def decode_one(
        self, token_id: int, cache: TransformersCache, weights: TransformersWeights | None = None
    ) -> Tensor:
        return self.prefill((token_id,), cache, weights)

    @torch.no_grad()
    def hidden_states(self, token_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Final-norm hidden states of the pristine backbone, [B, T, D]."""
        output = self.pristine.module.get_decoder()(
            input_ids=token_ids.to(self.device),
            attention_mask=attention_mask.to(self.device),
            use_cache=False,
        )
        hidden: Tensor = output.last_hidden_state
        return hidden

    @cached_property
    def ledger_site(self) -> LedgerSite:
        """See ``ledger.site``; a few tokens are run to see that it is so."""
        return self._modules_of_site().site()

    def last_layer(self, token_ids: Tensor) -> LastLayer:
        """See ``ledger.site``."""
        if token_ids.ndim != 2 or not 0 < token_ids.shape[1] <= self.max_positions:
            raise ShapeMismatch(
                f"ids {list(token_ids.shape)}: want [B, T], T from 1 to {self.max_positions}"
            )
        return self._modules_of_site().last_layer(token_ids.to(self.device))

    def logits(self, output: Tensor) -> Tensor:
        """See ``ledger.site``."""
        return self._modules_of_site().logits(output)

    def _modules_of_site(self) -> SiteModules:
        if self._site_modules is None:
            raise ModelMismatch(
                f"{type(self.pristine.module).__name__}: a ledger needs a last block with one "
                "`mlp.down_proj`, a final `norm` (RMSNorm) and a head without bias; set "
                "model.checkpoint to 'off', or use another model.backbone"
            )
        return self._site_modules

    def _second_module(self) -> Any:
        """A copy with projections of its own that shares every other parameter."""
        own = {view.data_ptr() for view in self._views.values()}
        parameters = self.pristine.module.parameters()
        shared = {id(p): p for p in parameters if p.data_ptr() not in own}
        return copy.deepcopy(self.pristine.module, memo=shared)


def _projection_views(module: Any) -> dict[Projection, Tensor]:
    """Projection → weight [out, in], for those whose module has the usual path."""
    modules = dict(module.named_modules())
    n_layers = int(module.config.num_hidden_layers)
    named = (Projection(layer, name) for layer in range(n_layers) for name in PROJECTION_NAMES)
    linears = {projection: modules.get(projection.module_path) for projection in named}
    return {
        projection: linear.weight.detach()
        for projection, linear in linears.items()
        if isinstance(linear, torch.nn.Linear)
    }


def _new_entries() -> Any:
    from transformers import DynamicCache  # noqa: PLC0415 - seconds, only if needed

    return DynamicCache()
