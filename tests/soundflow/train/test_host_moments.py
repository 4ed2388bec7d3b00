"""Moments in host memory: the same bits as torch's AdamW, whatever pieces a step goes in."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import pytest
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.optim import AdamW

from soundflow.errors import UserError
from soundflow.train import host_moments
from soundflow.train.fragments import MOMENTS
from soundflow.train.host_moments import HostMomentsAdamW, local
from soundflow.train.optim import build_optimizer
from soundflow.train.recipe import OptimConfig


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_moments, "_PIECE", 96)


@pytest.fixture
def one_process() -> Iterator[None]:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def trained(offload: bool, sharded: bool = False) -> tuple[nn.Module, AdamW]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(37, 11), nn.Linear(11, 30), nn.LayerNorm(30))
    if sharded:
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
    optimizer = build_optimizer(model, OptimConfig(updates=9, weight_decay=0.1), offload)
    for update in range(5):
        model(torch.randn(4, 37)).pow(2).sum().backward()
        if update == 2:
            model[0].bias.grad = None  # is left alone, and does not count an update
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def require_equal(a: tuple[nn.Module, AdamW], b: tuple[nn.Module, AdamW]) -> None:
    for p, q in zip(a[0].parameters(), b[0].parameters(), strict=True):
        assert torch.equal(local(p), local(q))
        of_p, of_q = a[1].state[p], b[1].state[q]
        assert of_p["step"] == of_q["step"]
        for kind in MOMENTS:
            assert torch.equal(local(of_p[kind]).view(-1), local(of_q[kind]).view(-1))


def test_the_same_bits_as_adamw() -> None:
    model, optimizer = trained(offload=True)
    assert isinstance(optimizer, HostMomentsAdamW)
    require_equal(trained(offload=False), (model, optimizer))


@pytest.mark.usefixtures("one_process")
def test_the_same_bits_of_the_rows_that_a_rank_holds() -> None:
    require_equal(trained(False, sharded=True), trained(True, sharded=True))


def test_who_looks_into_the_states_before_the_first_step_changes_nothing() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = HostMomentsAdamW([{"params": [weight]}])
    assert not optimizer.state[weight]  # makes an empty one, as DeepSpeed does
    weight.grad = torch.ones(3)
    optimizer.step()
    assert optimizer.state[weight]["exp_avg"].all()


def test_host_memory_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", full)
    with pytest.raises(UserError, match=r"compute\.offload_moments: .* cannot be pinned"):
        trained(offload=True)
