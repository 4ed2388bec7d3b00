"""The plan of a training run, for `soundflow check`: what trains, how large it is, how long."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from soundflow.data.batch import Batch, Update
from soundflow.data.datamodule import StreamData
from soundflow.data.encoded import states_bytes
from soundflow.data.plan import UpdatePlan
from soundflow.forms.folders import Opened
from soundflow.logs import ERR
from soundflow.model.config import ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.precision import DTYPES
from soundflow.output import examined
from soundflow.shards.address import is_missing
from soundflow.text.presets import load_vocabulary
from soundflow.text.tokenizer import TextTokenizer
from soundflow.train.claim import output_of
from soundflow.train.compute import choose_compute, computing
from soundflow.train.loss import loss_sums
from soundflow.train.machine import held_by, unmet
from soundflow.train.memory import Memory, predict
from soundflow.train.optim import build_optimizer
from soundflow.train.pass_memory import RowShape
from soundflow.train.recipe import TrainRecipe
from soundflow.train.stages import apply_stage
from soundflow.train.start import model_config, open_origin, require_fit, start
from soundflow.train.strategy.choose import compiles, on_cuda, prepare, resolved

Plan = dict[str, str]

_LOOKED_AT = 8  # updates whose rows are planned, spread over the run


@dataclass(frozen=True)
class Planned:
    """What some updates of a run are made of.

    Attributes:
        largest: the row with most tokens, with the most chunks and targets that any row has.
        rank_chunks: the most chunks of audio that a rank has in an update.
        tokens, rows: of an update, on average.
        empty: share of ``data.row_tokens`` that rows leave unused.
    """

    largest: RowShape
    rank_chunks: int
    tokens: float
    rows: float
    empty: float


def training_plan(recipe: TrainRecipe, probe: bool, sizes: ModelConfig | None = None) -> Plan:
    """Everything that can be known before the run, from recipe, headers of weights and lengths.

    Args:
        probe: run two updates here to estimate the time of the run.
        sizes: of the model that ``start_from`` will hold, where it does not exist yet.

    Raises:
        UserError: if the recipe contradicts its checkpoint or data.
    """
    compute, optim = recipe.compute, recipe.optim
    ranks = compute.devices * compute.nodes
    plan = {"output": str(recipe.output)}
    config, needed, origin = sizes, None, None
    exists = recipe.start_from is None or recipe.start_from.is_dir()
    if exists:
        origin = open_origin(recipe)
        config = model_config(recipe, origin)
    if config is not None:
        tokenizer, tokens = load_vocabulary(recipe.vocabulary)
        needed = held_by(recipe, config, tokens)
        frozen = needed.parameters - needed.trained
        plan["parameters"] = f"{needed.trained / 1e6:,.2f} M trained, {frozen / 1e6:,.2f} M frozen"
    else:
        plan["parameters"] = f"those of {recipe.start_from}: does not exist yet"
    plan["updates"] = (
        f"{optim.updates:,} of {recipe.data.global_batch_size:,} streams, packed into rows of at "
        f"most {recipe.data.row_tokens:,} tokens, over {ranks} process(es)"
    )
    plan["device"] = f"{compute.accelerator}, {compute.precision}, strategy {resolved(compute)}"
    sources = recipe.data.sources
    missing = [s.folder for s in sources if is_missing(s.folder / s.train / "index.json")]
    if missing:
        plan["data"] = f"{', '.join(map(str, missing))}: not built yet"
    else:
        data = StreamData(recipe.data, recipe.seed, optim.updates)
        plan["output"] = examined(recipe.output, lambda: output_of(recipe, data.content_hash()))
        if config is not None:
            require_fit(tokenizer, origin, config, data)
        planned = plan_of(recipe, data, ranks)
        plan |= _data(recipe, data, planned)
        if config is not None:
            needed = _memory(recipe, config, data, planned, ranks)
            plan |= {"memory": memory_line(needed), "disk": _disk(recipe, needed)}
            if recipe.data.features == "cached":
                plan["features"] = _features(recipe, config, data)
            if probe and exists:
                plan["time"] = _probe(recipe, origin, tokenizer, data, planned, ranks)
    lacking = [] if needed is None else unmet(recipe, needed)
    if lacking:
        plan["this machine"] = "; ".join(lacking)
    intervals = recipe.intervals
    # The last update is always saved and validated.
    states, looks = (
        math.ceil(optim.updates / n) for n in (intervals.save_every, intervals.validate_every)
    )
    plan["checkpoints"] = (
        f"{states:,} states saved (at most {intervals.keep_last} kept), {looks:,} validations"
    )
    return plan


def plan_of(recipe: TrainRecipe, data: StreamData, ranks: int) -> Planned:
    """Looks at some updates after the length warm-up; reads lengths only."""
    n_updates = recipe.optim.updates
    first = min(recipe.data.length_warm_up.updates, n_updates - 1)
    looked = sorted({int(u) for u in np.linspace(first, n_updates - 1, _LOOKED_AT)})
    updates = data.train_updates(0, ranks)
    plans = [updates.plan(u) for u in looked]
    rows = [RowShape.of(row) for plan in plans for rank in plan.ranks for row in rank]
    most = max(rows, key=lambda row: sum(row.lengths))
    tokens = sum(sum(row.lengths) for row in rows)
    return Planned(
        largest=RowShape(most.lengths, max(r.chunks for r in rows), max(r.targets for r in rows)),
        rank_chunks=max(_chunks_of_ranks(plan) for plan in plans),
        tokens=tokens / len(plans),
        rows=len(rows) / len(plans),
        empty=1 - tokens / (len(rows) * recipe.data.row_tokens),
    )


def _chunks_of_ranks(plan: UpdatePlan) -> int:
    return max(sum(RowShape.of(row).chunks for row in rank) for rank in plan.ranks)


def _data(recipe: TrainRecipe, data: StreamData, planned: Planned) -> Plan:
    n_streams = sum(len(split) for split in data.train_splits)
    epochs = recipe.optim.updates * recipe.data.global_batch_size / n_streams
    return {
        "data": f"{data.named}: {n_streams:,} streams, {epochs:,.1f} epochs",
        "tokens": f"{planned.tokens * recipe.optim.updates:,.0f}; an update has about "
        f"{planned.tokens:,.0f} in {planned.rows:,.0f} rows, no padding (rows are "
        f"{1 - planned.empty:.0%} full)",
    }


def _memory(
    recipe: TrainRecipe, config: ModelConfig, data: StreamData, planned: Planned, ranks: int
) -> Memory:
    """Of the number format of the run; where a CPU chooses it, of the one that takes more."""
    compute, precision = recipe.compute, recipe.compute.precision
    # Several nodes are not this machine: `auto` means the GPUs that they have.
    on_gpu = on_cuda(compute) or (compute.nodes > 1 and compute.accelerator != "cpu")
    possible = DTYPES.values() if precision == "auto" else [DTYPES[precision]]
    if on_gpu and precision == "auto":
        possible = [torch.bfloat16]
    found = [
        predict(
            config,
            data.spec,
            recipe.stage,
            planned.largest,
            dtype=dtype,
            recompute_share=compute.recompute_share,
            strategy=resolved(compute),
            world=ranks,
            update_chunks=planned.rank_chunks,
            cached=recipe.data.features == "cached",
            device="cuda" if on_gpu else "cpu",
            compiled=on_gpu and compiles(compute),
            offload_moments=on_gpu and compute.offload_moments,
        )
        for dtype in possible
    ]
    return max(found, key=lambda memory: memory.peak)


def _disk(recipe: TrainRecipe, memory: Memory) -> str:
    """States have the trained parameters only, with two moments each; all of it is float32."""
    state_bytes = 12 * memory.trained
    kept = recipe.intervals.keep_last
    return (
        f"about {_gib(state_bytes)} a state, {_gib(kept * state_bytes)} for the {kept} that are "
        f"kept, {_gib(4 * memory.parameters)} for the model"
    )


def _features(recipe: TrainRecipe, config: ModelConfig, data: StreamData) -> str:
    width = config.audio_encoder.width
    n_bytes = sum(states_bytes(s, range(len(s)), width) for s in data.train_splits)
    return (
        f"at most {n_bytes / 1e9:.3g} GB to be written to {recipe.data.features_folder}, "
        f"data.features_max_gb={recipe.data.features_max_gb:g}"
    )


def memory_line(found: Memory) -> str:
    """The peak of a rank and its parts."""
    return (
        f"{_gib(found.peak)} at the peak of a rank, beyond what its libraries take: weights "
        f"{_gib(found.weights)}, gradients {_gib(found.gradients)}, optimiser "
        f"{_gib(found.moments + found.masters)}, communication {_gib(found.buffers)}, "
        f"activations {_gib(found.forward_backward)}, features {_gib(found.features)}"
        + (f"; in host memory: moments {_gib(found.host)}" if found.host else "")
    )


def _probe(
    recipe: TrainRecipe,
    origin: Opened | None,
    tokenizer: TextTokenizer,
    data: StreamData,
    planned: Planned,
    ranks: int,
) -> str:
    """Two updates of one rank, in this process, by the clock."""
    ERR.print("running two updates ...")
    model = start(recipe, origin, data, tokenizer).model
    prepare(model, recipe.compute)
    apply_stage(model, recipe.stage, recipe.seed)
    gpu = torch.cuda.is_available() and recipe.compute.accelerator != "cpu"
    device = torch.device("cuda" if gpu else "cpu")
    model.to(device)
    updates = data.train_updates(0, ranks)
    first = min(recipe.data.length_warm_up.updates, len(updates) - 1)
    update = updates[first].as_read().to(device)
    if recipe.data.features == "cached":
        update = _encoded(update, model)
    compute = choose_compute(recipe.compute, model, update, recipe.compute.devices)
    optimizer = build_optimizer(model, recipe.optim, recipe.compute.offload_moments)
    took: list[float] = []
    for _ in range(2):
        begun = time.perf_counter()
        for batch in update.batches:
            with computing(compute.dtype, device):
                sums = loss_sums(model, batch)
                loss = sums.combined(update.decisions, update.reply_tokens, recipe.loss)
            torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        if gpu:
            torch.cuda.synchronize()
        took.append(time.perf_counter() - begun)
    hours = took[-1] * recipe.optim.updates / 3600
    return (
        f"about {hours:,.1f} h: {took[-1]:.2f} s an update in {compute}, "
        f"{planned.tokens / took[-1]:,.0f} tokens/s over {ranks} process(es), without validation "
        "and communication"
    )


@torch.no_grad()
def _encoded(update: Update, model: AudioInteractionModel) -> Update:
    """With what the frozen tower makes of the chunks, as the run will find it on disk."""

    def with_states(batch: Batch) -> Batch:
        if not len(batch.mel):
            return batch
        states = model.encode_states(batch.mel).to(torch.bfloat16)
        return replace(batch, mel=batch.mel[:0], states=states)

    return replace(update, batches=tuple(map(with_states, update.batches)))


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.2f} GiB" if n_bytes >= 2**28 else f"{n_bytes / 2**20:.0f} MiB"
