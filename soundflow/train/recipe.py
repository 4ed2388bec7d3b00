"""`TrainRecipe`: everything a training run is asked for. One YAML file, loaded strictly.

All settings of a run are here, away from the code that they configure: a recipe is checked before
anything heavy is imported.
"""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval, MinLen
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from soundflow.config.settings import (
    SETTINGS,
    Fraction,
    Precision,
    ProperFraction,
    Seed,
    Workers,
)
from soundflow.data.config import DataConfig
from soundflow.model.config import ModelConfig

MODEL_FOLDER = "model"  # in the output of a run that is finished

StrategyName = Literal["auto", "single", "ddp", "fsdp", "zero1", "zero2", "zero3"]
# A hundred million updates of a tenth of a second take four months.
Updates = Annotated[int, Interval(gt=0, le=100_000_000)]


@dataclass(frozen=True, config=SETTINGS)
class OptimConfig:
    """``final_share`` is the learning rate of the last update as a share of the peak ``lr``."""

    updates: Updates
    lr: PositiveFloat = 1e-4
    beta_1: ProperFraction = 0.9
    beta_2: ProperFraction = 0.95
    eps: PositiveFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.01
    warmup_ratio: ProperFraction = 0.03
    final_share: ProperFraction = 0.0
    grad_norm: PositiveFloat = 1.0


@dataclass(frozen=True, config=SETTINGS)
class LossConfig:
    """``stream_weight`` is lambda (published: 1.0; neighbours 0.5 and 2.0)."""

    stream_weight: NonNegativeFloat = 1.0


@dataclass(frozen=True, config=SETTINGS)
class LoraConfig:
    """A matrix W becomes ``W + alpha / rank * B A`` with W frozen, A (rank, in), B (out, rank).

    ``targets`` are patterns of layer names, such as ``lm.*.q_proj``.
    """

    rank: PositiveInt
    alpha: PositiveFloat
    targets: Annotated[tuple[str, ...], MinLen(1)]


@dataclass(frozen=True, config=SETTINGS)
class StageConfig:
    """What trains, as patterns of parameter names (``*`` matches anything, dots too).

    ``train`` are parameters as a whole. ``rows`` are matrices over the vocabulary of which only
    the rows of the control tokens train: ``lm.model.embed_tokens.weight``, ``lm.lm_head.weight``.
    ``new_rows: mean`` first sets the rows of the control tokens that re-use an ordinary entry of
    the vocabulary to the mean of all rows; ``keep`` leaves them as they are.
    """

    train: tuple[str, ...] = ("*",)
    rows: tuple[str, ...] = ()
    new_rows: Literal["keep", "mean"] = "keep"
    lora: LoraConfig | None = None

    def __post_init__(self) -> None:
        if not (self.train or self.rows or self.lora):
            raise ValueError("train, rows, lora: nothing would be trained")


@dataclass(frozen=True, config=SETTINGS)
class ComputeConfig:
    """``bf16`` is autocast over float32 weights, ``auto`` the faster of it and ``fp32`` here.
    ``threads`` 0 measures which count is fastest. ``recompute_share``: of so many layers only
    the input is kept, and the rest computed again: less memory for up to a third more time.
    ``compile`` makes one kernel of what lies between two matrix products, on CUDA, in half a minute
    at the start; ZeRO-3 and FSDP do without, whose weights come and go.
    ``strategy`` says how the state is divided over ``devices`` x ``nodes``
    (`soundflow.train.strategy`). ``offload_moments`` keeps the two moments of AdamW, half of that
    state, in host memory: they cross the bus in both directions once an update.
    """

    precision: Precision = "auto"
    threads: Workers = 0
    recompute_share: Fraction = 0.0
    compile: bool = True
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: PositiveInt = 1
    nodes: PositiveInt = 1
    strategy: StrategyName = "auto"
    offload_moments: bool = False

    def __post_init__(self) -> None:
        if self.strategy == "single" and self.devices * self.nodes > 1:
            raise ValueError(
                f"strategy=single: there are devices={self.devices} on nodes={self.nodes}; "
                "auto, ddp, fsdp, zero1, zero2 and zero3 train on several"
            )


@dataclass(frozen=True, config=SETTINGS)
class TrainerIntervals:
    """When to log, validate and save, in updates.

    ``save_in_background`` copies a state to host memory and writes it while updates go on.
    ``live_streams`` held-out streams are decoded live at each validation, each half measured at the
    threshold that the other half chose.
    """

    log_every: PositiveInt = 10
    validate_every: PositiveInt = 100
    save_every: PositiveInt = 500
    keep_last: PositiveInt = 2
    save_in_background: bool = False
    live_streams: PositiveInt = 32


@dataclass(frozen=True, config=SETTINGS)
class WandbConfig:
    """Weights & Biases; ``offline`` runs are sent later by ``wandb sync``."""

    project: str
    mode: Literal["online", "offline", "disabled"] = "online"


@dataclass(frozen=True, config=SETTINGS)
class LoggingConfig:
    """Where metrics go beside ``metrics.jsonl``, which is always written: resuming reads it."""

    tensorboard: bool = False
    csv: bool = False
    wandb: WandbConfig | None = None


@dataclass(frozen=True, config=SETTINGS)
class TrainRecipe:
    """A run. ``output`` identifies it: the same command again resumes the run in it.

    ``vocabulary`` is "tiny" or a folder with tokenizer.json, the one the data was built with.
    ``start_from`` is a checkpoint folder of any form (docs/interoperability.md) whose weights and
    sizes the run starts with; without it the run starts from random weights of the sizes in
    ``model``. ``stage`` says which of them train: all, unless it is given.
    """

    output: Path
    data: DataConfig
    optim: OptimConfig
    model: ModelConfig | None = None
    vocabulary: str = "tiny"
    seed: Seed = 0
    start_from: Path | None = None
    stage: StageConfig = field(default_factory=StageConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    intervals: TrainerIntervals = field(default_factory=TrainerIntervals)
    logging: LoggingConfig = field(default_factory=LoggingConfig)

    def __post_init__(self) -> None:
        if (self.model is None) == (self.start_from is None):
            given = "neither" if self.model is None else "both"
            raise ValueError(
                f"model, start_from: {given} given; name a checkpoint to start from, or the sizes "
                "of a model that starts from random weights"
            )
