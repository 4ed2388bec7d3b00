"""A training run: recipe in, checkpoint folder out.

::

    output/train.yaml        the resolved recipe; provenance.json: code and data behind it
    output/metrics.jsonl     loss parts and held-out figures by update
    output/transcripts.jsonl what the model said in validations; calibrations.jsonl: thresholds
    output/resume/           states of the run (`soundflow.train.checkpoints`)
    output/best/             an earlier model, if its timing was better than that of the last
    output/model/            the result (`soundflow.model.weights`), written last
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lightning import Trainer
from lightning.pytorch.loggers import Logger

from soundflow.atomic import write_text
from soundflow.config.record import record, to_plain
from soundflow.data.datamodule import StreamData
from soundflow.errors import Stopped, UserError
from soundflow.forms.folders import Opened
from soundflow.logs import ERR
from soundflow.model.facts import TrainingFacts
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.precision import precision_name
from soundflow.model.weights import Checkpoint, save_checkpoint
from soundflow.text.presets import load_vocabulary
from soundflow.text.tokenizer import TextTokenizer
from soundflow.train.checkpoints import State, States, load_weights, newest_state
from soundflow.train.claim import BEST_FOLDER, RECIPE_FILE, alone, claim, run_id
from soundflow.train.compute import Compute
from soundflow.train.held_out import LiveFigures, LiveValidate
from soundflow.train.intervals import AtIntervals, WriteReport
from soundflow.train.launch import launcher
from soundflow.train.loggers import build_loggers, finish_loggers, require_loggers, write_csv
from soundflow.train.machine import held_by, require_machine
from soundflow.train.memory import Memory
from soundflow.train.metrics import FILE_NAME as METRICS_FILE
from soundflow.train.metrics import newest_calibration, newest_measurement
from soundflow.train.module import NotFinite, StreamingModule
from soundflow.train.provenance import PROVENANCE_FILE, provenance
from soundflow.train.ranks import from_first, gathered, is_first, together
from soundflow.train.recipe import MODEL_FOLDER, TrainRecipe
from soundflow.train.stages import apply_stage, merge_stage
from soundflow.train.start import Start, model_config, open_origin, require_fit, start
from soundflow.train.stopping import (
    StopFlag,
    dead_process,
    end_processes,
    keep_our_signals,
    requeue,
    stop_flag,
)
from soundflow.train.strategy.choose import build_strategy, prepare

_STREAMS_SHOWN = 8


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Attributes:
        parameters: trained and frozen, with those that the stage adds.
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


def run(
    recipe: TrainRecipe,
    live_validate: LiveValidate | None = None,
    report: WriteReport | None = None,
) -> TrainResult:
    """Trains, or goes on from the newest whole state of the same run.

    SIGINT, SIGTERM, SIGHUP and SIGUSR1 end it after the current update, with its state saved. Under
    SLURM, SIGUSR1 also queues the job again.

    Args:
        live_validate: decodes held-out streams through the live engine, on every rank its share;
            the composition root hands it in. None: teacher-forced figures only.
        report: writes the page of the run, at each validation; handed in likewise.

    Raises:
        UserError: if data, vocabulary and model do not fit, or ``output`` holds another run.
        Stopped: if a signal ended it; the message says how to go on.
    """
    first = is_first()
    with stop_flag(first_process=first) as flag, ExitStack() as held:
        try:
            return _run(recipe, live_validate, report, flag, held)
        except Stopped as stop:
            if first:
                requeue(stop.number)
            raise Stopped(stop.number, f"stopped; {_how_to_go_on(recipe)}") from None


def _run(
    recipe: TrainRecipe,
    live_validate: LiveValidate | None,
    report: WriteReport | None,
    flag: StopFlag,
    held: ExitStack,
) -> TrainResult:
    started = time.perf_counter()
    given = together(lambda: _given(recipe))
    assert given is not None
    data, tokenizer, origin = given.data, given.tokenizer, given.origin
    _require_same_data(data)
    seen = together(lambda: _left(recipe, data, held), here=is_first())
    told = from_first(None if seen is None else asdict(seen))
    # Not told: this process was started by the first one, since there is something to train.
    left = _Left(**told) if told else _Left(0, finished=False, to_train=True, continued=False)
    at, parameters = left.at, given.memory.parameters
    if left.finished:
        return _result(recipe, parameters, started, at)
    module: StreamingModule | None = None
    if left.to_train:
        begun = together(lambda: _begin(recipe, origin, data, tokenizer))
        assert begun is not None
        prepare(begun.model, recipe.compute)
        _say(*begun.notes)

        def decode(trained: AudioInteractionModel) -> LiveFigures:
            assert live_validate is not None
            checkpoint = Checkpoint(trained, tokenizer, data.spec, _facts(data))
            return live_validate(checkpoint, flag.poll)

        module = StreamingModule(
            begun.model,
            build_strategy(recipe.compute, recipe.optim.grad_norm),
            recipe.optim,
            recipe.loss,
            flag,
            decode if live_validate is not None else None,
            recipe.intervals.log_every,
            recipe.compute.offload_moments,
        )
        loggers = together(lambda: _loggers(recipe, data, at), here=is_first()) or []
        held.push(lambda _, error, __: finish_loggers(loggers, error))
        around = AtIntervals(recipe, flag, left.continued, report)
        _fit(_trainer(recipe, module, loggers, around), module, data, recipe)
        flag.stop_at_once()
    if is_first():
        best = States(recipe.output, recipe.intervals.keep_last).best()
        if best is not None and best.update != recipe.optim.updates:
            _write_model(recipe.output / BEST_FOLDER, best, recipe, origin, data, tokenizer)
        last = newest_state(recipe.output)
        assert last is not None
        _write_model(recipe.output / MODEL_FOLDER, last, recipe, origin, data, tokenizer)
        if recipe.logging.csv:
            write_csv(recipe.output)
    return _result(recipe, parameters, started, at, module.compute if module else None)


@dataclass(frozen=True)
class _Given:
    """What a run is given, all of which fits together and onto this machine."""

    data: StreamData
    tokenizer: TextTokenizer
    origin: Opened | None
    memory: Memory


def _given(recipe: TrainRecipe) -> _Given:
    require_loggers(recipe)
    data = StreamData(recipe.data, recipe.seed, recipe.optim.updates)
    tokenizer, _ = load_vocabulary(recipe.vocabulary)
    origin = open_origin(recipe)
    sizes = model_config(recipe, origin)
    require_fit(tokenizer, origin, sizes, data)
    memory = held_by(recipe, sizes, data.spec.tokens)
    require_machine(recipe, memory)
    return _Given(data, tokenizer, origin, memory)


def _require_same_data(data: StreamData) -> None:
    """Checks that all processes see the data that the first one sees."""
    hashes = gathered(data.content_hash())
    other = [rank for rank, found in enumerate(hashes) if found != hashes[0]]
    if other:
        error = UserError(
            f"{data.named}: rank {', '.join(map(str, other))} of {len(hashes)} sees other data "
            "there than rank 0",
            "copy the same data to every node, or name a file system that they share",
        )
        error.together = True
        raise error


@dataclass(frozen=True)
class _Left:
    """What is left to do, as the first process finds the output.

    Attributes:
        at: updates that were taken.
        to_train: whether updates are missing, or the measurement after the last one.
        continued: whether the run was started before.
    """

    at: int
    finished: bool
    to_train: bool
    continued: bool


def _left(recipe: TrainRecipe, data: StreamData, held: ExitStack) -> _Left:
    """Takes the output for this run; for the first process."""
    continued = claim(recipe, data.content_hash())
    held.enter_context(alone(recipe.output))
    state = newest_state(recipe.output)
    at = state.update if state else 0
    all_taken = at == recipe.optim.updates
    finished = all_taken and (recipe.output / MODEL_FOLDER).exists()
    measured_at, _ = newest_measurement(recipe.output / METRICS_FILE)
    measured = not data.valid_splits or measured_at == at
    to_train = not all_taken or not measured
    if to_train and not finished:
        record(recipe.output / RECIPE_FILE, recipe)
    return _Left(at, finished, to_train, continued)


def _loggers(recipe: TrainRecipe, data: StreamData, at: int) -> list[Logger]:
    """Where metrics go, with what is behind the run written there; for the first process."""
    about = provenance(data.content_hash(), data.spec.fingerprint)
    write_text(recipe.output / PROVENANCE_FILE, json.dumps(about, indent=1))
    return build_loggers(recipe, at, {**to_plain(recipe), **about}, run_id(recipe.output))


def _result(
    recipe: TrainRecipe,
    parameters: int,
    started: float,
    resumed_at: int,
    compute: Compute | None = None,
) -> TrainResult:
    metrics_file = recipe.output / METRICS_FILE
    return TrainResult(
        model_folder=recipe.output / MODEL_FOLDER,
        metrics_file=metrics_file,
        updates=recipe.optim.updates,
        parameters=parameters,
        precision=precision_name(compute.dtype) if compute else None,
        threads=compute.threads if compute else None,
        seconds=time.perf_counter() - started,
        resumed_at=resumed_at,
        metrics=newest_measurement(metrics_file)[1],
    )


def _begin(
    recipe: TrainRecipe, origin: Opened | None, data: StreamData, tokenizer: TextTokenizer
) -> Start:
    begun = start(recipe, origin, data, tokenizer)
    apply_stage(begun.model, recipe.stage, recipe.seed)
    return begun


def _write_model(
    folder: Path,
    state: State,
    recipe: TrainRecipe,
    origin: Opened | None,
    data: StreamData,
    tokenizer: TextTokenizer,
) -> None:
    """From disk, whatever the ranks hold: float32, and frozen weights as the run found them."""
    trained = _begin(recipe, origin, data, tokenizer).model
    load_weights(trained, state)
    merge_stage(trained)
    _, metrics = newest_measurement(recipe.output / METRICS_FILE, state.update)
    facts = replace(_facts(data), updates=state.update, metrics=metrics)
    calibration = newest_calibration(recipe.output, state.update)
    save_checkpoint(folder, trained, tokenizer, data.spec, facts, calibration)


def _fit(trainer: Trainer, module: StreamingModule, data: StreamData, recipe: TrainRecipe) -> None:
    agreed = True
    try:
        trainer.fit(module, datamodule=data)
    except Stopped as stop:
        agreed = stop.together
        raise
    except NotFinite as error:
        told = _not_finite(error, trainer.world_size)
        told.together = True
        raise told from error
    except UserError:  # every rank raises it
        raise
    except BaseException as error:
        agreed = False
        dead = dead_process(error)
        if dead is not None:
            raise UserError(dead, _how_to_go_on(recipe)) from error
        raise
    finally:
        end_processes(trainer, agreed=agreed)


def _say(*lines: str) -> None:
    if is_first():
        for line in lines:
            ERR.print(line, soft_wrap=True)


def _not_finite(error: NotFinite, world: int) -> UserError:
    ids = error.stream_ids
    shown = ", ".join(ids[:_STREAMS_SHOWN]) + (", ..." if len(ids) > _STREAMS_SHOWN else "")
    where = f" on rank {', '.join(map(str, error.ranks))} of {world}" if world > 1 else ""
    return UserError(
        f"update {error.update}: its loss or gradient is not finite{where} ({error}); "
        f"streams: {shown}",
        "take a smaller optim.lr or a longer optim.warmup_ratio, or look at these streams",
    )


def _how_to_go_on(recipe: TrainRecipe) -> str:
    state = newest_state(recipe.output)
    if state is None:
        return "no state was saved: the same command starts at update 1"
    at = state.update
    if at == recipe.optim.updates:
        return "all updates are saved: the same command finishes the run"
    return (
        f"the state after update {at} of {recipe.optim.updates} is saved: "
        f"the same command resumes at update {at + 1}"
    )


def _trainer(
    recipe: TrainRecipe,
    module: StreamingModule,
    loggers: Sequence[Logger],
    around: AtIntervals,
) -> Trainer:
    compute = recipe.compute
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    trainer = Trainer(
        accelerator=compute.accelerator,
        devices=compute.devices,
        num_nodes=compute.nodes,
        strategy=module.engine.lightning,
        max_epochs=1,
        log_every_n_steps=1,
        limit_val_batches=0,
        logger=[around.metrics, *loggers],
        callbacks=[around.progress, around],
        plugins=[found] if (found := launcher()) is not None else [],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=recipe.output,
    )
    keep_our_signals(trainer)
    return trainer


def _facts(data: StreamData) -> TrainingFacts:
    """What a session should know about the training."""
    return TrainingFacts(trained_positions=data.longest_stream(), system=data.system)
