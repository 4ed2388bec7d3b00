"""What training asks of the engine that spreads it over devices.

::

    forward(batch, last) ─▶ loss sums ─▶ backward(loss, last)     for every micro-batch of an update
    step(lr_share) ─▶ norm of the gradient over all ranks         once an update

Gradients are averaged over ranks, so that a loss divided by the counts of all ranks is multiplied
by their number. A strategy is made before Lightning's trainer, gives it the object that starts the
processes and places the model (`lightning`), and is attached to it once that is set up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.strategies import Strategy as LightningStrategy
from torch import Tensor, nn
from torch.optim import AdamW

from soundflow.data.batch import Batch
from soundflow.train.fragments import MOMENTS, WEIGHT, Fragment, read_fragments, write_fragments
from soundflow.train.host_moments import HostMomentsAdamW

# Parameters whose gradients ZeRO reduces together, DeepSpeed's default: it reserves that many.
REDUCED_TOGETHER = 500_000_000


class Strategy(ABC):
    """How gradients, weights and the state of the optimiser are spread over ranks.

    Args:
        grad_norm: gradients of a larger norm are scaled down to it.

    Attributes:
        rank, world: of this process; known once attached.
    """

    rank: int = 0
    world: int = 1

    def __init__(self, grad_norm: float) -> None:
        self.grad_norm = grad_norm

    @property
    @abstractmethod
    def lightning(self) -> LightningStrategy | str:
        """What Lightning's trainer is given as its strategy."""

    def use(self, dtype: torch.dtype) -> None:  # noqa: B027 (most compute by autocast alone)
        """The number format of the run, before the model is placed on its device."""

    def shard(self, module: nn.Module, model: nn.Module) -> None:  # noqa: B027 (most need not)
        """Divides the model over ranks, while Lightning places it.

        Args:
            module: what is trained.
            model: the part of it that has all parameters.
        """

    def attach(self, trainer: Trainer, model: nn.Module) -> None:
        """Takes over what Lightning has set up.

        Args:
            model: names the parameters in saved states; part of the module that is trained.
        """
        self.rank, self.world = trainer.global_rank, trainer.world_size
        self.model = model
        self.wrapped: Any = trainer.strategy.model
        self.optimizer: Any = trainer.strategy.optimizers[0]

    def forward(self, batch: Batch, *, last: bool) -> tuple[Tensor, Tensor]:
        """Sums of both loss parts over one micro-batch; see `soundflow.train.loss`.

        Args:
            last: whether it is the last one of the update.
        """
        sums: tuple[Tensor, Tensor] = self.wrapped(batch)
        return sums

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Adds the gradient of a micro-batch to those of the update."""
        torch.autograd.backward(loss)

    @abstractmethod
    def step(self, lr_share: float) -> float:
        """One update of the weights.

        Args:
            lr_share: of each parameter group's peak learning rate.

        Returns:
            The norm of the gradient over all ranks, before it is scaled down. If it is not finite,
            on every rank, then the weights are left as they are.
        """

    @abstractmethod
    def fragments(self) -> Iterator[Fragment]:
        """The trained weights and moments that this rank holds."""

    def save(self, folder: Path) -> dict[str, Any]:
        """Writes this rank's share of the state; see `write_fragments`."""
        return write_fragments(folder, self.written(), self.rank)

    def load(self, folder: Path, updates: int) -> None:
        """Takes the state that any number of ranks saved after ``updates`` updates.

        Raises:
            UserError: if it does not have what this rank holds.
        """
        start_moments(self.adamw(), self.stepped(), updates)
        with torch.no_grad():
            read_fragments(folder, self.fragments())

    def written(self) -> Iterator[Fragment]:
        """Those of `fragments` that this rank writes: each is written once over all ranks."""
        return self.fragments()

    def trained_shapes(self) -> dict[str, list[int]]:
        """Shape of every trained parameter by name."""
        trained = ((n, p) for n, p in self.model.named_parameters() if p.requires_grad)
        return {name: list(getattr(p, "ds_shape", p.shape)) for name, p in trained}  # ZeRO-3's

    def adamw(self) -> AdamW:
        """The optimiser that holds the moments."""
        optimizer: AdamW = self.optimizer
        return optimizer

    def stepped(self) -> list[Tensor]:
        """The tensors that it steps."""
        return [p for group in self.adamw().param_groups for p in group["params"]]

    def whole(self) -> AbstractContextManager[None]:
        """Inside the block every rank has all weights, to measure the model with."""
        return nullcontext()


def set_lr(optimizer: AdamW, share: float) -> None:
    """Every parameter group's learning rate as a share of the one it was made with."""
    for group in optimizer.param_groups:
        group["lr"] = share * group.setdefault("initial_lr", group["lr"])


def start_moments(adamw: AdamW, parameters: Iterable[Tensor], updates: int) -> None:
    """Moments of zero for every parameter, as if ``updates`` updates had been taken."""
    if isinstance(adamw, HostMomentsAdamW):
        adamw.start(parameters, updates)
        return
    on_device = adamw.defaults["fused"] or adamw.defaults["capturable"]
    for parameter in parameters:
        steps = torch.tensor(float(updates), device=parameter.device if on_device else "cpu")
        zeros = {kind: torch.zeros_like(parameter) for kind in MOMENTS}
        adamw.state[parameter] = {"step": steps, **zeros}


def whole_fragment(name: str, parameter: Tensor, moments: dict[str, Tensor]) -> Fragment:
    """A parameter that one process holds alone."""
    tensors = {WEIGHT: parameter, **{kind: moments[kind] for kind in MOMENTS}}
    return Fragment(name, 0, {k: t.detach().view(-1) for k, t in tensors.items()})
