"""Metrics to Weights & Biases, for those who name a project."""

from __future__ import annotations

import os

import wandb
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from soundflow.config.record import recipe_hash, to_plain
from soundflow.errors import UserError
from soundflow.train.recipe import TrainRecipe

OFFLINE = ("offline", "disabled", "dryrun")


def require_login(recipe: TrainRecipe) -> None:
    """Checks that the user is logged in to Weights & Biases, if the recipe names a project.

    Raises:
        UserError: if not.
    """
    if recipe.intervals.wandb is None or os.environ.get("WANDB_MODE") in OFFLINE:
        return
    if wandb.api.api_key is None:
        raise UserError(
            f"intervals.wandb={recipe.intervals.wandb}: not logged in to Weights & Biases",
            "run `wandb login`; or set WANDB_MODE=offline and send the run later with `wandb sync`",
        )


def wandb_logger(recipe: TrainRecipe) -> WandbLogger:
    """The logger of a run, with the recipe as its hyper-parameters; opened in the first process.

    Raises:
        UserError: if the service refuses the run.
    """
    offline = os.environ.get("WANDB_MODE") in OFFLINE
    logger = WandbLogger(
        project=recipe.intervals.wandb,
        id=recipe_hash(recipe),
        save_dir=recipe.output,
        resume=None if offline else "allow",
    )
    try:
        if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            recipe.output.mkdir(parents=True, exist_ok=True)
            logger.log_hyperparams(to_plain(recipe))
    except (wandb.Error, OSError) as error:
        raise UserError(
            f"intervals.wandb={recipe.intervals.wandb}: {' '.join(str(error).split())}",
            "check `wandb login` and the name, or set WANDB_MODE=offline",
        ) from error
    return logger
