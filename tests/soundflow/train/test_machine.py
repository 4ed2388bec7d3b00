"""What a machine lacks is said before any work, key by key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from soundflow.errors import UserError
from soundflow.model.config import LmConfig, ModelConfig
from soundflow.model.interaction import empty_model
from soundflow.protocol.spec import StreamSpec
from soundflow.train import machine
from soundflow.train.machine import held_by, require_machine, unmet
from soundflow.train.memory import Memory
from soundflow.train.recipe import ComputeConfig, OptimConfig, StageConfig, TrainRecipe
from soundflow.train.run import run

Recipes = Callable[..., TrainRecipe]


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def held_of(parameters: int) -> Memory:
    """What one process holds that trains all of them in float32."""
    return Memory(parameters, parameters, *(n * parameters for n in (4, 4, 8, 0, 0)))


def test_every_key_that_asks_for_too_much_is_named(recipe: Recipes) -> None:
    greedy = recipe(compute=ComputeConfig(accelerator="gpu", threads=4000))
    gpu, threads, memory = unmet(greedy, held_of(10**13))
    assert gpu.startswith("compute.accelerator=gpu: there is no such device")
    assert threads.startswith("compute.threads=4000")
    assert "GiB" in memory
    with pytest.raises(UserError, match=r"compute\.threads=4000"):
        require_machine(greedy, held_of(1))
    assert unmet(recipe(), held_of(1_000_000)) == []


def test_moments_need_memory_of_the_host(recipe: Recipes) -> None:
    memory = replace(held_of(1), moments=0, host=10**15)
    (said,) = unmet(recipe(compute=ComputeConfig(offload_moments=True)), memory)
    assert said.startswith("compute.offload_moments: the moments take 931,322.6 GiB")


def test_several_nodes_need_a_launcher(recipe: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one, the first node waits half an hour for the others."""
    four = recipe(compute=ComputeConfig(nodes=4, accelerator="cpu"))
    (said,) = unmet(four, held_of(10**13))  # this machine is none of the four
    assert said.startswith("compute.nodes=4: no launcher")
    assert "srun" in said
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "any")
    assert unmet(four, held_of(1)) == []


def test_a_plan_for_eight_gpus_is_no_plan_for_a_cpu(
    recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 4)
    for accelerator in ("cpu", "auto"):
        eight = recipe(compute=ComputeConfig(devices=8, accelerator=accelerator))
        (said,) = unmet(eight, held_of(1))
        assert said.startswith("compute.devices=8: on a CPU these are processes")
    assert unmet(recipe(compute=ComputeConfig(devices=4, accelerator="cpu")), held_of(1)) == []


def test_processes_on_a_cpu_share_its_memory(recipe: Recipes) -> None:
    base = recipe()
    two = replace(base, compute=replace(base.compute, devices=2))
    most = next(n for n in (2**k for k in range(60)) if unmet(two, held_of(n)))
    assert unmet(base, held_of(most // 2)) == []


def test_what_is_frozen_does_not_count_as_if_it_trained(
    recipe: Recipes, small_model: ModelConfig, spec: StreamSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that trains the adapter fits where training everything does not."""
    adapter = recipe(stage=StageConfig(train=("encoder.proj.*",)))
    monkeypatch.setattr(
        machine, "_memory_bytes",
        lambda on_gpu: 5 * empty_model(small_model, spec.tokens).parameter_count(),
    )  # fmt: skip
    assert unmet(adapter, held_by(adapter, small_model, spec.tokens)) == []
    (refused,) = unmet(recipe(), held_by(recipe(), small_model, spec.tokens))
    assert "of them trained" in refused


def test_a_model_beyond_the_memory_is_refused_before_it_is_made(recipe: Recipes) -> None:
    base = recipe()
    assert base.model is not None
    wide = replace(base.model.lm, width=1 << 17, heads=1024, kv_heads=1024, layers=8)
    with pytest.raises(UserError, match="M of them trained, take"):
        run(replace(base, model=replace(base.model, lm=wide)))
    assert not base.output.exists()


def test_numbers_beyond_any_meaning_are_refused() -> None:
    with pytest.raises(ValueError, match="updates"):
        OptimConfig(updates=10**12)
    with pytest.raises(ValueError, match="layers"):
        LmConfig(layers=10**8)
    with pytest.raises(ValueError, match="accelerator"):
        ComputeConfig(accelerator="foo")  # type: ignore[arg-type]


def test_the_table_of_positions_holds_a_chunk(recipe: Recipes) -> None:
    base = recipe()
    assert base.model is not None
    short = replace(base.model.audio_encoder, max_positions=1)
    with pytest.raises(UserError, match="takes 20 positions"):
        run(replace(base, model=replace(base.model, audio_encoder=short)))
