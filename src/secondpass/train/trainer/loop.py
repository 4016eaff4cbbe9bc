"""The training loop, the same for every architecture; it can resume from a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from secondpass.train.data.examples import Group
from secondpass.train.data.prepare import TrainingData
from secondpass.train.data.sampling import Sample
from secondpass.train.trainer.checkpoints import RunFolder
from secondpass.train.trainer.interface import Learner, PairIndices, autocast
from secondpass.train.trainer.loss import Targets, training_loss
from secondpass.train.trainer.settings import Decay, TrainSettings
from secondpass.train.trainer.validation import Progress, not_finite, validate
from secondpass.train.trainer.weight_averaging import WeightAverage

# Steps whose mean loss is one row of the training curve.
RECORD_EVERY = 20


@dataclass(slots=True)
class TrainingState:
    """How far a run is; `seconds` counts all time spent on it, resumed parts included.

    The fields are keys of the checkpoint. `worse` is the number of validations since the best
    one, `batch` that of the batches done in this epoch.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    best: float = -1.0
    best_step: int = 0
    worse: int = 0
    done: bool = False
    losses: list[float] = field(default_factory=list)

    def as_object(self) -> dict[str, Any]:
        """Return the state as a checkpoint stores it."""
        return {name: getattr(self, name) for name in self.__slots__}


class TrainingLoop:
    """One training run; `run` starts it, or resumes it from its folder's checkpoint."""

    def __init__(
        self,
        learner: Learner,
        data: TrainingData,
        settings: TrainSettings,
        folder: RunFolder,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> None:
        self.learner, self.data, self.settings, self.folder = learner, data, settings, folder
        self.device, self.progress = device, progress
        self.module = learner.module
        self.parameter_groups = learner.parameter_groups(settings)
        self.optimizer = torch.optim.AdamW(
            [
                {
                    "params": group.parameters,
                    "lr": group.learning_rate,
                    "weight_decay": settings.weight_decay if group.decay else 0.0,
                }
                for group in self.parameter_groups
            ],
            fused=False,
        )
        self.average = WeightAverage(self.module, settings.average, settings.keep_start)
        self.state = TrainingState()
        self.steps_per_epoch = data.sampler.steps
        self.total_steps = max(1, round(settings.epochs * self.steps_per_epoch))
        self.validate_every = settings.validate_every
        if self.validate_every is None:
            self.validate_every = max(1, min(self.steps_per_epoch // 4, self.total_steps // 4))

    def run(self) -> dict[str, Any]:
        """Train to the end and return the metrics at the start and at the best step.

        Raises ModelError if the loss or a score is not finite.
        """
        checkpoint = self.folder.load_checkpoint()
        if checkpoint is not None:
            self._restore(checkpoint)
        else:
            self.folder.truncate_metrics(-1)
        started = time.perf_counter() - self.state.seconds
        saved = time.perf_counter()
        if self.state.step == 0 and not self.state.done:
            self._validate(started)
        while not self.state.done:
            batches = self.data.sampler.epoch(self.state.epoch)
            while self.state.batch < len(batches) and not self.state.done:
                share = self._share_done(started)
                if share >= 1:
                    self.state.done = True
                    break
                self._step(batches[self.state.batch], share)
                self.state.batch += 1
                self._report(started)
                assert self.validate_every is not None
                ends = self._share_done(started) >= 1
                if self.state.step % self.validate_every == 0 or ends:
                    self._validate(started)
                    self.state.done = self.state.done or ends
                if time.perf_counter() - saved >= self.settings.checkpoint_seconds:
                    self._save(started)
                    saved = time.perf_counter()
            if not self.state.done:
                self.state.epoch, self.state.batch = self.state.epoch + 1, 0
        self._save(started)
        return self._result()

    def _share_done(self, started: float) -> float:
        if self.settings.minutes is not None:
            return (time.perf_counter() - started) / (60 * self.settings.minutes)
        return self.state.step / self.total_steps

    def _step(self, groups: Sequence[int], share: float) -> None:
        settings = self.settings
        # The very first step would not change anything at a learning rate of 0.
        if settings.minutes is None:
            share = max(share, 0.5 / self.total_steps)
        factor = learning_rate_factor(share, settings.warm_up, settings.decay, settings.floor)
        for optimized, group in zip(
            self.optimizer.param_groups, self.parameter_groups, strict=True
        ):
            optimized["lr"] = group.learning_rate * factor
        epoch = self.state.epoch
        samples = [self.data.sampler.sample(index, epoch) for index in groups]
        pairs = [pair for sample in samples for pair in self.data.pairs(sample, epoch)]
        self.module.train()
        with autocast(settings, self.device):
            logits = self.learner.scores(pairs)
        logits = logits.float().view(len(samples), settings.group)
        loss = training_loss(logits, self._targets(samples, pairs), settings)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise not_finite("the loss", f"step {self.state.step}")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), settings.clip)
        self.optimizer.step()
        self.average.update(self.module)
        self.state.step += 1
        self.state.losses.append(value)

    def _targets(self, samples: Sequence[Sample], pairs: Sequence[PairIndices]) -> Targets:
        groups = [self.data.groups[sample.group] for sample in samples]
        weights = [self.settings.weights.get(group.source, 1.0) for group in groups]
        cosines = self.learner.cosines(pairs) if self.settings.soft > 0 else None
        teacher = None
        if self.settings.teacher > 0 and any(group.scores is not None for group in groups):
            teacher = torch.tensor(
                [
                    _teacher_scores(group, sample.passages)
                    for group, sample in zip(groups, samples, strict=True)
                ],
                dtype=torch.float32,
                device=self.device,
            )
        return Targets(
            torch.tensor(weights, dtype=torch.float32, device=self.device),
            None if cosines is None else cosines.view(len(samples), -1),
            teacher,
        )

    def _validate(self, started: float) -> None:
        """Validate the current weights, and save them if they are the best so far."""
        settings, row = self.settings, self._metrics_row(started)
        if not self.data.validation:
            self.folder.save_best(self.average.weights(self.module))
            self.state.best_step = self.state.step
            self.folder.append_metrics(row)
            return
        with self.average.applied_to(self.module):
            metrics = validate(self.learner, self.data, self.device, settings, self.progress)
        self.folder.append_metrics({**row, **metrics})
        if metrics["rr"] > self.state.best:
            self.state.best, self.state.best_step = metrics["rr"], self.state.step
            self.state.worse = 0
            self.folder.save_best(self.average.weights(self.module))
        else:
            self.state.worse += 1
            if settings.patience is not None and self.state.worse >= settings.patience:
                self.state.done = True

    def _metrics_row(self, started: float) -> dict[str, Any]:
        mean = float(np.mean(self.state.losses)) if self.state.losses else None
        self.state.losses.clear()
        epochs = self.state.epoch + self.state.batch / self.steps_per_epoch
        return {
            "step": self.state.step,
            "epoch": round(epochs, 4),
            "seconds": round(time.perf_counter() - started, 2),
            "loss": None if mean is None else round(mean, 5),
        }

    def _report(self, started: float) -> None:
        """Append to the training curve, and report progress."""
        if self.state.step % RECORD_EVERY == 0 and self.state.losses:
            rates = [group["lr"] for group in self.optimizer.param_groups]
            self.folder.append_metrics({**self._metrics_row(started), "rates": rates})
        if self.progress is None:
            return
        if self.settings.minutes is not None:
            total = round(60 * self.settings.minutes)
            self.progress("train", min(total, round(time.perf_counter() - started)), total)
        else:
            self.progress("train", self.state.step, self.total_steps)

    def _save(self, started: float) -> None:
        self.state.seconds = time.perf_counter() - started
        # The keys are those of the file format, whose spelling is older than this code's.
        self.folder.save_checkpoint(
            {
                "module": self.module.state_dict(),
                "optimiser": self.optimizer.state_dict(),
                "average": self.average.state(),
                "position": self.state.as_object(),
                "random": torch.get_rng_state(),
            }
        )

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self.module.load_state_dict(checkpoint["module"])
        self.optimizer.load_state_dict(checkpoint["optimiser"])
        self.average.restore(checkpoint["average"])
        self.state = TrainingState(**checkpoint["position"])
        torch.set_rng_state(checkpoint["random"])
        self.folder.truncate_metrics(self.state.step)

    def _result(self) -> dict[str, Any]:
        validations = [row for row in self.folder.metrics() if "rr" in row]
        best = [row for row in validations if row["step"] == self.state.best_step]
        return {
            "steps": self.state.step,
            "seconds": round(self.state.seconds, 1),
            "best_step": self.state.best_step,
            "start": validations[0] if validations else None,
            "best": best[-1] if best else None,
        }


def learning_rate_factor(share: float, warm_up: float, decay: Decay, floor: float) -> float:
    """Return the factor, 0 to 1, of the learning rate when `share` of the run is done.

    It rises linearly from 0 to 1 during the share `warm_up`, then falls to `floor`.
    """
    share = min(max(share, 0.0), 1.0)
    if share < warm_up:
        return share / warm_up
    decayed = 0.0 if warm_up >= 1 else (share - warm_up) / (1 - warm_up)
    factor = 1 - decayed if decay == "linear" else (1 + math.cos(math.pi * decayed)) / 2
    return floor + (1 - floor) * factor


def _teacher_scores(group: Group, passages: Sequence[int]) -> list[float]:
    """Return the teacher's score of each passage, NaN where there is none."""
    if group.scores is None:
        return [math.nan] * len(passages)
    scored = (*group.positives, *group.negatives)
    scores = dict(zip(scored, group.scores, strict=True))
    return [scores.get(passage, math.nan) for passage in passages]
