"""The learning rate never starts at zero; norms and biases do not decay."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from soundflow.model.config import ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.spec import StreamSpec
from soundflow.train.optim import build_optimizer, lr_share
from soundflow.train.recipe import OptimConfig
from soundflow.train.strategy.interface import set_lr


def test_warm_up_then_half_a_cosine() -> None:
    config = OptimConfig(updates=100, warmup_ratio=0.1, final_share=0.1)
    shares = [lr_share(u, config) for u in range(101)]
    assert shares[0] == pytest.approx(0.1)
    assert shares[9] == shares[10] == 1.0
    assert all(a > b for a, b in pairwise(shares[10:]))
    assert shares[55] == pytest.approx(0.55)
    assert shares[100] == pytest.approx(0.1)


def test_without_warm_up_the_first_update_counts() -> None:
    config = OptimConfig(updates=10, lr=2e-3, warmup_ratio=0.0)
    optimizer = build_optimizer(torch.nn.Linear(2, 2), config)
    for share in (lr_share(0, config), 0.5):  # a share of the peak, not of the rate before
        set_lr(optimizer, share)
        assert [group["lr"] for group in optimizer.param_groups] == [share * 2e-3] * 2


def test_every_trained_parameter_once_and_decay_on_matrices_only(
    small_model: ModelConfig, spec: StreamSpec
) -> None:
    model = AudioInteractionModel(small_model, spec.tokens)
    groups = build_optimizer(model, OptimConfig(updates=1)).param_groups
    grouped = [id(p) for g in groups for p in g["params"]]
    trained = [id(p) for p in model.parameters() if p.requires_grad]
    assert sorted(grouped) == sorted(trained)
    for group in groups:
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])


@pytest.mark.parametrize(
    "wrong", [{"updates": 0}, {"lr": -1.0}, {"beta_2": 1.0}, {"weight_decay": -0.1}]
)
def test_impossible_values_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OptimConfig(**{"updates": 10, **wrong})
