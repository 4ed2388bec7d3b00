"""Where metrics go beside metrics.jsonl: TensorBoard, Weights & Biases, a CSV table."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from soundflow.atomic import write_text
from soundflow.errors import Stopped, UserError, not_installed
from soundflow.train.metrics import FILE_NAME, read_metrics
from soundflow.train.recipe import TrainRecipe, WandbConfig

CSV_FILE, TENSORBOARD = "metrics.csv", "tensorboard"


def require_loggers(recipe: TrainRecipe) -> None:
    """Checks, before any work, that what the recipe asks for can be written.

    Raises:
        UserError: if TensorBoard is not installed, or nobody is logged in to Weights & Biases.
    """
    asked = recipe.logging
    if asked.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise not_installed("logging.tensorboard: the package tensorboard", "tensorboard")
    if asked.wandb is None or _mode(asked.wandb) != "online":
        return
    import wandb  # takes half a second

    if wandb.api.api_key is None:
        raise UserError(
            f"logging.wandb.project={asked.wandb.project}: not logged in to Weights & Biases",
            "run `wandb login`; or set logging.wandb.mode=offline and send the run later with "
            "`wandb sync`",
        )


def build_loggers(
    recipe: TrainRecipe, at: int, about: Mapping[str, Any], run_id: str
) -> list[Logger]:
    """The loggers that the recipe asks for; for the first process.

    Args:
        at: updates that were taken before; TensorBoard hides what was written about later ones.
        about: hyper-parameters of the run.
        run_id: under which Weights & Biases goes on with it.

    Raises:
        UserError: if the service refuses the run.
    """
    loggers: list[Logger] = []
    if recipe.logging.tensorboard:
        board = TensorBoardLogger(
            recipe.output, TENSORBOARD, version="", default_hp_metric=False, purge_step=at + 1
        )
        board.log_hyperparams(dict(about))
        loggers.append(board)
    if recipe.logging.wandb is not None and _mode(recipe.logging.wandb) != "disabled":
        loggers.append(_wandb_logger(recipe, recipe.logging.wandb, about, run_id))
    return loggers


def log_transcripts(loggers: Sequence[object], rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of what was said, for those that show tables; JSON lines have a file of their own."""
    if not rows:
        return
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            cells = [list(row.values()) for row in rows]
            logger.log_table("valid/transcripts", list(rows[0]), cells)
        elif isinstance(logger, TensorBoardLogger):
            lines = [" | ".join(map(_cell, row)) for row in (rows[0], *(r.values() for r in rows))]
            lines.insert(1, " | ".join("---" for _ in rows[0]))  # a table in Markdown
            text = "\n".join(f"| {line} |" for line in lines)
            logger.experiment.add_text("valid/transcripts", text, rows[0]["update"])


def finish_loggers(loggers: Sequence[Logger], error: BaseException | None) -> None:
    """Sends what is left, and says how the run ended; those of the trainer are closed by it."""
    if not any(isinstance(logger, WandbLogger) for logger in loggers):
        return
    import wandb

    if wandb.run is not None:  # of the first process
        if isinstance(error, Stopped):
            wandb.run.mark_preempting()
        wandb.finish(exit_code=0 if error is None else 1)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def write_csv(output: Path) -> None:
    """Writes the metrics of a run as one table, a column for each metric."""
    rows = read_metrics(output / FILE_NAME)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns)
    table.writeheader()
    table.writerows(rows)
    write_text(output / CSV_FILE, text.getvalue())


def _mode(asked: WandbConfig) -> str:
    """The variable that wandb itself obeys wins: a cluster sets it for all of its jobs."""
    set_here = os.environ.get("WANDB_MODE", asked.mode)
    return "offline" if set_here == "dryrun" else set_here


def _wandb_logger(
    recipe: TrainRecipe, asked: WandbConfig, about: Mapping[str, Any], run_id: str
) -> WandbLogger:
    import wandb

    offline = _mode(asked) == "offline"
    logger = WandbLogger(
        project=asked.project,
        id=run_id,
        save_dir=recipe.output,
        offline=offline,
        resume=None if offline else "allow",
    )
    try:
        logger.log_hyperparams(dict(about))
    except (wandb.Error, OSError) as error:
        raise UserError(
            f"logging.wandb.project={asked.project}: {' '.join(str(error).split())}",
            "check `wandb login` and the name, or set logging.wandb.mode=offline",
        ) from error
    return logger
