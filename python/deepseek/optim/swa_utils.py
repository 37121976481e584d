# SPDX-License-Identifier: Apache-2.0
"""Averages of a model's weights over training, as torch.optim.swa_utils."""

import copy
import math

from .. import _core
from .._modes import no_grad
from .lr_scheduler import LRScheduler

Module = _core.nn.Module


def get_ema_avg_fn(decay: float = 0.999):
    """avg_fn of an exponential moving average."""
    if not 0 <= decay <= 1:
        raise _core.ValueError(f"get_ema_avg_fn: decay {decay} is outside [0, 1]")

    def average(averaged, current, _num_averaged):
        return decay * averaged + (1 - decay) * current

    return average


def get_swa_avg_fn():
    """avg_fn of the equal average of all models (Izmailov et al., "Averaging Weights Leads to Wider
    Optima", 2018)."""

    def average(averaged, current, num_averaged):
        return averaged + (current - averaged) / (num_averaged + 1)

    return average


def _multi(average):
    def update(averaged, current, num_averaged):
        for mean, value in zip(averaged, current, strict=False):
            mean.copy_(average(mean, value, num_averaged))

    return update


def get_ema_multi_avg_fn(decay: float = 0.999):
    """multi_avg_fn of an exponential moving average."""
    return _multi(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn():
    """multi_avg_fn of the equal average of all models."""
    return _multi(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of a model whose parameters (and with use_buffers its buffers) are the average of what
    update_parameters() was called with; equal weights unless avg_fn or multi_avg_fn says how."""

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise _core.ValueError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", _core.tensor(0, dtype=_core.int64))
        self._update = multi_avg_fn or _multi(avg_fn or get_swa_avg_fn())
        self.use_buffers = use_buffers

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    def _tensors(self, model) -> list:
        values = [p.detach() for p in model.parameters()]
        return values + ([b.detach() for b in model.buffers()] if self.use_buffers else [])

    def update_parameters(self, model) -> None:
        """Takes one more model into the average; the first one is copied."""
        averaged, current = self._tensors(self.module), self._tensors(model)
        first = int(self.n_averaged) == 0
        with no_grad():
            if first:
                for mean, value in zip(averaged, current, strict=False):
                    mean.copy_(value)
            else:
                floating = [i for i, mean in enumerate(averaged) if mean.is_floating_point()]
                self._update(
                    [averaged[i] for i in floating], [current[i] for i in floating], self.n_averaged
                )
            if not self.use_buffers:
                for mean, value in zip(self.module.buffers(), model.buffers(), strict=False):
                    mean.copy_(value)
            self.n_averaged += 1


def update_bn(loader, model, device=None) -> None:
    """Computes the running statistics of batch normalisation anew from the inputs of a loader; of
    a tuple or list the first element is the input."""
    norms = [m for m in model.modules() if hasattr(m, "running_mean") and hasattr(m, "momentum")]
    if not norms:
        return
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    was_training = model.training
    model.train()
    try:
        with no_grad():
            for batch in loader:
                batch = batch[0] if isinstance(batch, list | tuple) else batch
                model(batch if device is None else batch.to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=False):
            norm.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """From the rates of the groups to swa_lr, one number or one for each group, in anneal_epochs
    along half a cosine wave or a line; constant from then on."""

    def __init__(self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1):
        groups = optimizer.param_groups
        rates = list(swa_lr) if isinstance(swa_lr, list | tuple) else [swa_lr] * len(groups)
        if len(rates) != len(groups):
            raise _core.ValueError(
                f"SWALR: {len(rates)} values of swa_lr for {len(groups)} parameter groups"
            )
        if anneal_strategy not in ("cos", "linear"):
            raise _core.ValueError(
                f"SWALR: anneal_strategy {anneal_strategy!r} must be 'cos' or 'linear'"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise _core.ValueError(
                f"SWALR: anneal_epochs {anneal_epochs!r} must be a whole number, 0 or more"
            )
        for group, rate in zip(groups, rates, strict=True):
            group["swa_lr"] = float(rate)
        self.anneal_epochs, self._cosine = anneal_epochs, anneal_strategy == "cos"
        super().__init__(optimizer, last_epoch)

    def _share(self, epoch: int) -> float:
        """How far towards swa_lr."""
        part = max(0.0, min(1.0, epoch / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * part)) / 2 if self._cosine else part

    def get_lr(self) -> list[float]:
        # From the rate that is there: the one at the start follows from it, so that what another
        # scheduler does to it meanwhile counts.
        epoch = max(0, self.last_epoch + (0 if self.anneal_epochs else 1))
        before, now = self._share(max(0, epoch - 1)), self._share(epoch)
        rates = []
        for group in self.optimizer.param_groups:
            target = group["swa_lr"]
            start = target if before == 1 else (group["lr"] - target * before) / (1 - before)
            rates.append(target * now + start * (1 - now))
        return rates


__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]
