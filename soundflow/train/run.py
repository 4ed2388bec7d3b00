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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lightning import Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from soundflow.config.record import record
from soundflow.data.datamodule import StreamData
from soundflow.errors import Stopped, UserError
from soundflow.logs import ERR
from soundflow.model.facts import TrainingFacts
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.precision import precision_name
from soundflow.model.weights import (
    Checkpoint,
    save_checkpoint,
)
from soundflow.text.presets import load_vocabulary
from soundflow.train.checkpoints import (
    AtomicCheckpointIO,
    load_weights,
    newest_state,
    newest_update,
    update_of,
)
from soundflow.train.claim import MODEL_FOLDER, RECIPE_FILE, claim
from soundflow.train.intervals import AtIntervals
from soundflow.train.machine import require_machine
from soundflow.train.metrics import FILE_NAME as METRICS_FILE
from soundflow.train.metrics import JsonlLogger, newest_measurement, recorded_precision
from soundflow.train.module import StreamingModule
from soundflow.train.progress import Progress
from soundflow.train.recipe import TrainRecipe
from soundflow.train.stages import apply_stage, merge_stage
from soundflow.train.start import parameter_count, start
from soundflow.train.stopping import StopFlag, end_processes, stop_flag
from soundflow.train.wandb_log import require_login, wandb_logger

StreamValidate = Callable[[Checkpoint], dict[str, float]]

_STREAMS_SHOWN = 8


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Attributes:
        precision: "fp32" or "bf16"; None, like ``threads``, where nothing was left to compute.
        resumed_at: updates that were taken before; all of them if the run was finished.
        metrics: the last held-out figures (without "valid/").
    """

    model_folder: Path
    metrics_file: Path
    updates: int
    parameters: int
    precision: str | None
    threads: int | None
    seconds: float
    resumed_at: int
    metrics: dict[str, float]


def run(recipe: TrainRecipe, stream_validate: StreamValidate | None = None) -> TrainResult:
    """Trains, or goes on from the newest whole state of the same run.

    SIGINT, SIGTERM and SIGHUP end it after the current update, with its state saved.

    Args:
        stream_validate: decodes held-out streams through the live engine and returns figures
            about them; the composition root hands it in. None: teacher-forced figures only.

    Raises:
        UserError: if data, vocabulary and model do not fit, or ``output`` holds another run.
        Stopped: if a signal ended it; the message says how to go on.
    """
    with stop_flag(first_process=rank_zero_only.rank == 0) as flag:  # type: ignore[attr-defined]
        try:
            return _run(recipe, stream_validate, flag)
        except Stopped as stop:
            raise Stopped(stop.number, _how_to_go_on(recipe)) from None


def _run(
    recipe: TrainRecipe, stream_validate: StreamValidate | None, flag: StopFlag
) -> TrainResult:
    started = time.perf_counter()
    require_login(recipe)
    data = StreamData(recipe.data, recipe.seed, recipe.optim.updates)
    tokenizer, _ = load_vocabulary(recipe.vocabulary)
    _require_vocabulary(tokenizer.fingerprint, data)
    require_machine(recipe, parameter_count(recipe, data.spec.tokens))
    continued = claim(recipe, data.content_hash())
    folder = recipe.output / MODEL_FOLDER
    if continued and newest_update(recipe.output) == recipe.optim.updates and folder.exists():
        return _finished(recipe, data, started)
    loggers = [wandb_logger(recipe)] if recipe.intervals.wandb is not None else []
    begun = start(recipe, data, tokenizer)
    model = begun.model
    apply_stage(model, recipe.stage, recipe.seed)
    if recipe.compute.activation_checkpointing:
        model.recompute_activations()
    state = newest_state(recipe.output)
    at = update_of(state) if state else 0
    module: StreamingModule | None = None
    if state is not None and at == recipe.optim.updates:
        load_weights(model, state)
    else:
        record(recipe.output / RECIPE_FILE, recipe)
        _say(*begun.notes)
        if continued:
            _say_where(at, recipe.optim.updates)

        def decode(trained: AudioInteractionModel) -> dict[str, float]:
            assert stream_validate is not None
            return stream_validate(Checkpoint(trained, tokenizer, data.spec, _facts(data)))

        module = StreamingModule(
            model,
            recipe.optim,
            recipe.loss,
            flag,
            decode if stream_validate is not None else None,
            recipe.intervals.log_every,
        )
        _fit(_trainer(recipe, flag, at, loggers), module, data, state)
        flag.stop_at_once()
    metrics_file = recipe.output / METRICS_FILE
    _, metrics = newest_measurement(metrics_file)
    merge_stage(model)
    if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        facts = replace(_facts(data), updates=recipe.optim.updates, metrics=metrics)
        save_checkpoint(folder, model, tokenizer, data.spec, facts)
    return TrainResult(
        model_folder=folder,
        metrics_file=metrics_file,
        updates=recipe.optim.updates,
        parameters=model.parameter_count(),
        precision=precision_name(module.compute.dtype) if module else None,
        threads=module.compute.threads if module else None,
        seconds=time.perf_counter() - started,
        resumed_at=at,
        metrics=metrics,
    )


def _finished(recipe: TrainRecipe, data: StreamData, started: float) -> TrainResult:
    """The result of a run that has nothing left to do: no weight is read."""
    metrics_file = recipe.output / METRICS_FILE
    return TrainResult(
        model_folder=recipe.output / MODEL_FOLDER,
        metrics_file=metrics_file,
        updates=recipe.optim.updates,
        parameters=parameter_count(recipe, data.spec.tokens),
        precision=None,
        threads=None,
        seconds=time.perf_counter() - started,
        resumed_at=recipe.optim.updates,
        metrics=newest_measurement(metrics_file)[1],
    )


def _fit(trainer: Trainer, module: StreamingModule, data: StreamData, state: Path | None) -> None:
    agreed = True
    try:
        trainer.fit(module, datamodule=data, ckpt_path=state, weights_only=True)
    except Stopped as stop:
        agreed = stop.together
        raise
    except FloatingPointError as error:
        updates = data.train_updates(trainer.global_rank, trainer.world_size)
        streams = ", ".join(updates.stream_ids(trainer.global_step)[:_STREAMS_SHOWN])
        raise UserError(
            f"update {trainer.global_step + 1}: its loss or gradient is not finite ({error}); "
            f"streams: {streams}",
            "take a smaller optim.lr or a longer optim.warmup_ratio, or look at these streams",
        ) from error
    except BaseException:
        agreed = False
        raise
    finally:
        end_processes(trainer, agreed=agreed)


def _say_where(at: int, updates: int) -> None:
    where = f"resuming at update {at + 1} of {updates}"
    _say(where if at else "no state was saved here: starting at update 1")


def _say(*lines: str) -> None:
    if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        for line in lines:
            ERR.print(line, soft_wrap=True)


def _how_to_go_on(recipe: TrainRecipe) -> str:
    at = newest_update(recipe.output)
    if at is None:
        return "stopped; no state was saved: the same command starts at update 1"
    if at == recipe.optim.updates:
        return "stopped; all updates are saved: the same command writes the model"
    return (
        f"stopped; the state after update {at} of {recipe.optim.updates} is saved: "
        f"the same command resumes at update {at + 1}"
    )


def _trainer(recipe: TrainRecipe, flag: StopFlag, at: int, loggers: Sequence[Logger]) -> Trainer:
    compute = recipe.compute
    if at and compute.precision == "auto":  # a run does not change its number format midway
        precision = recorded_precision(recipe.output / METRICS_FILE) or "auto"
        compute = replace(compute, precision=precision)
        recipe = replace(recipe, compute=compute)
    progress = Progress(recipe.intervals.log_every)
    metrics = JsonlLogger(recipe.output, at)
    measured_at, _ = newest_measurement(recipe.output / METRICS_FILE)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return Trainer(
        accelerator=compute.accelerator,
        devices=compute.devices,
        num_nodes=compute.nodes,
        max_epochs=1,
        log_every_n_steps=1,
        max_steps=recipe.optim.updates,
        limit_val_batches=0,
        logger=[metrics, *loggers],
        callbacks=[AtIntervals(recipe, progress, flag, measured_at), progress],
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=recipe.output,
    )


def _require_vocabulary(fingerprint: str, data: StreamData) -> None:
    if fingerprint != data.spec.tokenizer:
        raise UserError(
            f"{data.named}: built with tokenizer {data.spec.tokenizer}, "
            f"the recipe's vocabulary is {fingerprint}",
            "name the vocabulary of the data build",
        )


def _facts(data: StreamData) -> TrainingFacts:
    """What a session should know about the training."""
    return TrainingFacts(trained_positions=data.longest_stream(), system=data.system())
