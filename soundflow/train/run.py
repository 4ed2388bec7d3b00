"""A training run: recipe in, checkpoint folder out.

::

    output/train.yaml        the resolved recipe
    output/metrics.jsonl     loss parts and held-out figures by update
    output/resume/           states of the run (`soundflow.train.checkpoints`)
    output/model/            the result (`soundflow.model.weights`), written last
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, WandbLogger

from soundflow.atomic import write_text
from soundflow.config.record import recipe_hash, record
from soundflow.data.datamodule import StreamData
from soundflow.errors import UserError
from soundflow.model.config import ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import (
    Checkpoint,
    load_tensors,
    read_model_config,
    save_checkpoint,
)
from soundflow.text.presets import load_vocabulary
from soundflow.train.checkpoints import AtomicCheckpointIO, SaveState, newest_state, update_of
from soundflow.train.cpu import choose_threads
from soundflow.train.metrics import FILE_NAME as METRICS_FILE
from soundflow.train.metrics import JsonlLogger
from soundflow.train.module import StreamingModule
from soundflow.train.progress import Progress
from soundflow.train.recipe import ComputeConfig, TrainerIntervals, TrainRecipe

MODEL_FOLDER = "model"
RECIPE_FILE = "train.yaml"
IDENTITY_FILE = "identity.txt"

StreamValidate = Callable[[Checkpoint], dict[str, float]]


@dataclass(frozen=True)
class TrainResult:
    """What a run came to. ``metrics`` are the last held-out figures (without "valid/")."""

    model_folder: Path
    metrics_file: Path
    updates: int
    parameters: int
    threads: int
    seconds: float
    resumed_at: int
    metrics: dict[str, float]


def run(recipe: TrainRecipe, stream_validate: StreamValidate | None = None) -> TrainResult:
    """Trains, or goes on from the newest whole state of the same run.

    Args:
        stream_validate: decodes held-out streams through the live engine and returns figures
            about them; the composition root hands it in. None: teacher-forced figures only.

    Raises:
        UserError: if data, vocabulary and model do not fit, or ``output`` holds another run.
    """
    started = time.perf_counter()
    data = StreamData(recipe.data, recipe.seed, recipe.optim.updates)
    tokenizer, _ = load_vocabulary(recipe.vocabulary)
    _require_vocabulary(tokenizer.fingerprint, data)
    _claim(recipe, data)
    model = build_model(recipe, data)
    threads = _set_threads(recipe.compute, model, data)

    def decode(trained: AudioInteractionModel) -> dict[str, float]:
        assert stream_validate is not None
        return stream_validate(Checkpoint(trained, tokenizer, data.spec, _extra(data)))

    module = StreamingModule(
        model,
        recipe.optim,
        recipe.loss,
        decode if stream_validate is not None else None,
        recipe.intervals.log_every,
    )
    state = newest_state(recipe.output)
    at = update_of(state) if state else 0
    trainer = _trainer(recipe, at)
    if at < recipe.optim.updates:
        trainer.fit(module, datamodule=data, ckpt_path=state, weights_only=True)
    if not module.last_metrics or recipe.optim.updates % recipe.intervals.validate_every:
        restored = state if at == recipe.optim.updates else None
        trainer.validate(
            module, datamodule=data, ckpt_path=restored, weights_only=True, verbose=False
        )
    folder = recipe.output / MODEL_FOLDER
    if trainer.is_global_zero:
        extra = _extra(data) | {"updates": recipe.optim.updates, "metrics": module.last_metrics}
        save_checkpoint(folder, model, tokenizer, data.spec, extra)
    return TrainResult(
        model_folder=folder,
        metrics_file=recipe.output / METRICS_FILE,
        updates=recipe.optim.updates,
        parameters=model.parameter_count(),
        threads=threads,
        seconds=time.perf_counter() - started,
        resumed_at=at,
        metrics=module.last_metrics,
    )


def build_model(recipe: TrainRecipe, data: StreamData) -> AudioInteractionModel:
    """The model of a recipe: weights drawn from its seed, or those of ``start_from``.

    Raises:
        UserError: if the checkpoint does not fit, or a stream is longer than the model's positions.
    """
    sizes = model_config(recipe)
    longest, positions = data.longest_row(), sizes.lm.max_positions
    if longest > positions:
        raise UserError(
            f"{recipe.data.folder}: the longest stream has {longest} tokens, "
            f"model.lm.max_positions is {positions}",
            "build shorter streams, or give the model more positions",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = AudioInteractionModel(sizes, data.spec.tokens)
    if recipe.start_from is not None:
        load_tensors(model, recipe.start_from, data.spec)
    return model.train()


def model_config(recipe: TrainRecipe) -> ModelConfig:
    """The sizes of the model: those of the recipe, or of the checkpoint that it starts from.

    Raises:
        UserError: if that checkpoint is missing or its config cannot be read.
    """
    if recipe.start_from is not None:
        return read_model_config(recipe.start_from)
    assert recipe.model is not None  # TrainRecipe sees to it
    return recipe.model


def _trainer(recipe: TrainRecipe, resume_update: int) -> Trainer:
    compute, watch = recipe.compute, recipe.intervals
    callbacks: list[Callback] = [
        SaveState(recipe.output, watch.save_every, watch.keep_last),
        Progress(watch.log_every),
    ]
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return Trainer(
        accelerator=compute.accelerator,
        devices=compute.devices,
        num_nodes=compute.nodes,
        precision="bf16-mixed" if compute.precision == "bf16" else "32-true",
        max_epochs=1,
        log_every_n_steps=1,
        max_steps=recipe.optim.updates,
        val_check_interval=watch.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=_loggers(recipe, resume_update),
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=recipe.output,
    )


def _loggers(recipe: TrainRecipe, resume_update: int) -> list[Logger]:
    loggers: list[Logger] = [JsonlLogger(recipe.output, resume_update)]
    if recipe.intervals.wandb is not None:
        identity = recipe_hash(recipe)
        loggers.append(
            WandbLogger(
                project=recipe.intervals.wandb, id=identity, save_dir=recipe.output, resume="allow"
            )
        )
    return loggers


def _claim(recipe: TrainRecipe, data: StreamData) -> None:
    """Notes whose ``output`` this is, so that a changed recipe does not resume a foreign state.

    What changes speed or reporting only (``compute``, ``watch``, workers, cache) may differ.
    """
    same_run = replace(
        recipe,
        output=Path(),
        compute=ComputeConfig(),
        intervals=TrainerIntervals(),
        data=replace(recipe.data, workers=0, cache_mb=0),
    )
    identity = f"{recipe_hash(same_run)} {data.content_hash()}"
    file = recipe.output / IDENTITY_FILE
    if file.is_file() and file.read_text() != identity:
        raise UserError(
            f"{recipe.output}: holds a run of another recipe or of other data",
            "choose another output, or remove that folder",
        )
    write_text(file, identity)
    record(recipe.output / RECIPE_FILE, recipe)


def _set_threads(compute: ComputeConfig, model: AudioInteractionModel, data: StreamData) -> int:
    if compute.threads:
        torch.set_num_threads(compute.threads)
    elif compute.accelerator in ("cpu", "auto") and not torch.cuda.is_available():
        precision = torch.bfloat16 if compute.precision == "bf16" else torch.float32
        return choose_threads(model, data.train_updates(0, 1)[0][0], precision)
    return torch.get_num_threads()


def _require_vocabulary(fingerprint: str, data: StreamData) -> None:
    if fingerprint != data.spec.tokenizer:
        raise UserError(
            f"{data.config.folder}: built with tokenizer {data.spec.tokenizer}, "
            f"the recipe's vocabulary is {fingerprint}",
            "name the vocabulary of the data build",
        )


def _extra(data: StreamData) -> dict[str, Any]:
    """What a session should know about the training."""
    return {"trained_positions": data.longest_row(), "system": data.system()}
