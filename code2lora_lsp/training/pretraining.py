"""The pretraining loop of one rank: device-agnostic, driven by the clock, resumable."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from code2lora_lsp.training.blocked_attention import use_blocked_attention
from code2lora_lsp.training.checkpoints import (
    Progress,
    read_progress,
    read_tensors,
    save_checkpoint,
)
from code2lora_lsp.training.corpus_stream import StreamOpener
from code2lora_lsp.training.head_loss import head_loss
from code2lora_lsp.training.heldout import summed_loss
from code2lora_lsp.training.initial_weights import initial_model
from code2lora_lsp.training.muon import MuonAdamW
from code2lora_lsp.training.packing import StreamState
from code2lora_lsp.training.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Stage:
    """Row shape from a share of the time on: short rows first, where most is learnt per second."""

    from_share: float
    row_tokens: int
    rows_per_rank: int


@dataclass(frozen=True)
class Plan:
    """Everything that decides a run besides the data."""

    model: str = "nano"
    minutes: float = 60.0
    stages: tuple[Stage, ...] = (Stage(0.0, 512, 4), Stage(0.3, 1024, 4), Stage(0.75, 2048, 2))
    rows_scale: int = 1
    n_warmup_steps: int = 40
    constant_share: float = 0.3
    log_every_steps: int = 20
    checkpoint_every_s: float = 360.0
    largest_gradient_norm: float = 1.0
    muon_rate: float = 0.012
    adam_rate: float = 0.003
    seed: int = 0

    def rate_scale(self, n_steps: int, elapsed_share: float) -> float:
        """Learning-rate factor in [0, 1]: warm-up, constant part, linear fall to 0 at the end."""
        warm = min(1.0, (n_steps + 1) / self.n_warmup_steps)
        return warm * min(1.0, max(0.0, (1.0 - elapsed_share) / (1.0 - self.constant_share)))

    def row_shape(self, elapsed_share: float) -> tuple[int, int]:
        """Rows per rank and their length in tokens, in the stage that ``elapsed_share`` is in."""
        stage = [stage for stage in self.stages if stage.from_share <= elapsed_share][-1]
        return stage.rows_per_rank * self.rows_scale, stage.row_tokens


@dataclass(frozen=True)
class Place:
    """Where a rank runs and what it multiplies in."""

    ranks: Ranks = ALONE
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (a frozen value)
    precision: torch.dtype = torch.float32


class Pretraining:
    """One rank of a run: model, optimizer, stream and counters. Gradients live in one flat buffer.

    With the same plan, data and number of ranks, a run that was stopped and resumed takes the same
    steps as one that was not, but for the learning rate, which follows the clock.
    """

    def __init__(
        self,
        plan: Plan,
        stream_at: StreamOpener,
        heldout: tuple[Tensor, Tensor],
        output: Path,
        place: Place,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Go on from ``output/checkpoint`` if it exists, else from weights that the seed decides.

        Args:
            plan: the same for all ranks.
            stream_at: opens this rank's row stream.
            heldout: inputs and targets, [N, T] int64, the same for all ranks; each takes its share.
            output: folder of the log and the checkpoint.
            place: device, precision and ranks.
            clock: seconds, monotonic.
        """
        self._plan, self._output, self._place, self._clock = plan, output, place, clock
        ranks = place.ranks
        inputs, targets = (rows[ranks.rank :: ranks.count].to(place.device) for rows in heldout)
        self._heldout = inputs, targets
        self.model = initial_model(plan.model, plan.seed).to(place.device)
        if place.device.type == "cpu":
            use_blocked_attention(self.model)
        self._parameters = dict(self.model.named_parameters())
        self.optimizer = MuonAdamW(
            self._parameters,
            muon_rate=plan.muon_rate,
            adam_rate=plan.adam_rate,
            compute_dtype=place.precision,
        )
        self.progress = Progress(plan.model)
        if (output / "checkpoint").exists():
            self._resume(output / "checkpoint")
        streams = self.progress.streams
        self._stream = stream_at(streams[ranks.rank] if streams else None)
        self._gradients = self._flat_gradients()
        self._elapsed_before_s, self._started_s = self.progress.elapsed_s, clock()

    def run(self, stop_after_steps: int | None = None) -> Progress:
        """Train until the time is spent, or for some steps; evaluate and save at intervals."""
        saved_s, share, losses = self.progress.elapsed_s, self._elapsed_share(), []
        stop_at = None if stop_after_steps is None else self.progress.n_steps + stop_after_steps
        while share < 1.0 and self.progress.n_steps != stop_at:
            loss, share = self._step(share)
            losses.append(loss)
            self.progress.elapsed_s = share * self._plan.minutes * 60
            if self.progress.n_steps % self._plan.log_every_steps == 0:
                scale = self._plan.rate_scale(self.progress.n_steps, share)
                self._log(train_nats=sum(losses) / len(losses), rate_scale=scale)
                losses.clear()
            if self.progress.elapsed_s - saved_s >= self._plan.checkpoint_every_s:
                saved_s = self.progress.elapsed_s
                self._evaluate_and_save()
        self._evaluate_and_save()
        return self.progress

    def _step(self, share: float) -> tuple[float, float]:
        """Take one optimizer step at ``share`` of the time; return (mean loss, share now)."""
        ranks = self._place.ranks
        inputs, targets = self._stream.rows(*self._plan.row_shape(share))
        self._gradients.zero_()
        loss = self._loss(inputs.to(self._place.device), targets.to(self._place.device))
        loss.backward()
        self._gradients[-2] = loss.detach()
        self._gradients[-1] = self._elapsed_share() * ranks.count if ranks.is_first else 0.0
        ranks.sum(self._gradients).div_(ranks.count)
        mean_loss, share_now = self._gradients[-2:].tolist()
        norm = self._gradients[:-2].norm()
        self._gradients.mul_((self._plan.largest_gradient_norm / (norm + 1e-6)).clamp_max(1.0))
        scale = self._plan.rate_scale(self.progress.n_steps, share)
        self.optimizer.step(scale, ranks)
        self.progress.n_steps += 1
        self.progress.n_tokens += inputs.numel() * ranks.count
        return mean_loss, share_now

    def _loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats of [B, T] inputs and targets."""
        device, precision = self._place.device, self._place.precision
        with torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32):
            hidden = self.model.model(input_ids=inputs, use_cache=False).last_hidden_state
        flat = hidden.flatten(0, 1).to(precision)  # [B · T, D]
        return head_loss(flat, self.model.model.embed_tokens.weight, targets.flatten())

    def _evaluate_and_save(self) -> None:
        """Measure the held-out loss on all ranks; the first one logs it and saves."""
        place = self._place
        sums = torch.tensor(summed_loss(self.model, *self._heldout, place.precision))
        nats, n_scored = place.ranks.sum(sums.to(place.device)).tolist()
        self.progress.heldout_nats = nats / max(n_scored, 1)
        self._log(heldout_nats=self.progress.heldout_nats)
        gathered = place.ranks.gather(self._stream.state.to_tensor().to(place.device))
        self.progress.streams = [StreamState.from_tensor(row.cpu()) for row in gathered]
        if place.ranks.is_first:
            weights = {name: weight.detach().cpu() for name, weight in self._parameters.items()}
            optimizer = {name: tensor.cpu() for name, tensor in self.optimizer.state.items()}
            save_checkpoint(self._output / "checkpoint", weights, optimizer, self.progress)

    def _resume(self, checkpoint: Path) -> None:
        """Take weights, optimizer state and counters from a checkpoint."""
        self.progress = read_progress(checkpoint)
        weights, optimizer_state = read_tensors(checkpoint)
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(weights[name])
        for name, tensor in self.optimizer.state.items():
            tensor.copy_(optimizer_state[name])
        self.optimizer.n_steps = self.progress.n_steps

    def _flat_gradients(self) -> Tensor:
        """Make every ``.grad`` a view of one buffer, summed over ranks in one call.

        The last two numbers carry the loss and the first rank's clock.
        """
        sizes = [parameter.numel() for parameter in self._parameters.values()]
        flat = torch.zeros(sum(sizes) + 2, device=self._place.device)
        views = flat[:-2].split(sizes)
        for parameter, view in zip(self._parameters.values(), views, strict=True):
            parameter.grad = view.view_as(parameter)
        return flat

    def _elapsed_share(self) -> float:
        """Share of the time budget spent, earlier runs included, by this process's clock."""
        elapsed_s = self._elapsed_before_s + self._clock() - self._started_s
        return elapsed_s / (self._plan.minutes * 60)

    def _log(self, **values: float) -> None:
        """Append one line to the log."""
        if not self._place.ranks.is_first:
            return
        progress = self.progress
        counters = {
            "step": progress.n_steps,
            "tokens": progress.n_tokens,
            "elapsed_s": round(progress.elapsed_s, 1),
        }
        rounded = {name: round(value, 5) for name, value in values.items()}
        with (self._output / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(counters | rounded) + "\n")
