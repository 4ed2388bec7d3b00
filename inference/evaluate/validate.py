"""Validates a model during training by live decoding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from inference.engine import UNCALIBRATED_THRESHOLD, engine_of
from inference.evaluate.systems.model import Model
from inference.evaluate.timing.metrics import score
from inference.evaluate.timing.task import TimingTask, online_positions
from inference.sampling import SamplingConfig
from soundflow.model.weights import Checkpoint
from soundflow.shards.reader import ShardSet

FIGURES = (
    "f1", "recall", "precision", "false_per_hour", "reply_exact", "latency_p50_s", "early_share",
)  # fmt: skip


def stream_validation(
    split: Path, n_streams: int = 32, max_reply_tokens: int = 24, seed: int = 0
) -> Callable[[Checkpoint], dict[str, float]]:
    """A function that decodes a fixed choice of held-out streams and returns figures.

    No teacher forcing: replies of the model stay in its context, so false triggers and their
    consequences show. Figures that cannot be measured are left out.

    Raises:
        UserError: if the split is missing or holds no online stream.
    """
    shards = ShardSet(split)
    positions = online_positions(shards, n_streams, seed)
    task = TimingTask([(shards, i) for i in positions], shards.spec.time)
    items = task.items()
    truths = [item.reference for item in items]
    sampling = SamplingConfig(temperature=0.0, max_reply_tokens=max_reply_tokens)

    def validate(checkpoint: Checkpoint) -> dict[str, float]:
        model = checkpoint.model
        was_training = model.training
        model.eval()
        try:
            # Sessions run without autocast; so does their measurement.
            with torch.autocast(model.device.type, enabled=False):
                system = Model(engine_of(checkpoint), UNCALIBRATED_THRESHOLD, sampling, n_streams)
                outcomes = dict(system.run(items))
        finally:
            model.train(was_training)
        metrics = score(truths, [outcomes[i.id] for i in items], checkpoint.spec.time)
        values = {name: metrics[name].value for name in FIGURES}
        return {f"event_{name}": v for name, v in values.items() if v is not None}

    return validate
