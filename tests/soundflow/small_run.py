"""A training run of seconds over tone streams, for tests in other folders than that of training."""

from __future__ import annotations

from pathlib import Path

from soundflow.data.config import DataConfig, DataSource
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.shards.writer import write_index, write_shard
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer
from soundflow.train.metrics import SPEED, TRAIN, read_metrics
from soundflow.train.recipe import ComputeConfig, OptimConfig, TrainerIntervals, TrainRecipe
from tests.soundflow.conftest import text_stream, tone_stream


def small_run(tmp_path: Path, name: str, compute: ComputeConfig, updates: int) -> TrainRecipe:
    """Validates once at the end, and saves only then or when asked to stop."""
    return TrainRecipe(
        output=tmp_path / name,
        data=DataConfig((DataSource(_data(tmp_path)),), global_batch_size=8, row_tokens=200),
        optim=OptimConfig(updates=updates, lr=1e-3),
        model=ModelConfig(
            AudioEncoderConfig(width=32, layers=1, heads=2, ffn_width=64, max_positions=32),
            LmConfig(width=48, layers=2, heads=2, kv_heads=1, ffn_width=96, max_positions=512,
                     rope_theta=1e4, tied=True),
        ),
        compute=compute,
        intervals=TrainerIntervals(log_every=1, validate_every=updates, save_every=1000),
    )  # fmt: skip


def update_rows(metrics: Path) -> list[dict[str, float]]:
    """The lines of a metrics file that are about updates."""
    return [row for row in reproducible(metrics) if f"{TRAIN}loss" in row]


def reproducible(metrics: Path) -> list[dict[str, float]]:
    """The lines of a metrics file without what differs from run to run: speed and memory."""
    rows = read_metrics(metrics)
    return [{k: v for k, v in row.items() if not k.startswith(SPEED)} for row in rows]


def _data(tmp_path: Path) -> Path:
    folder, spec = tmp_path / "tones", stream_spec(tiny_tokenizer())
    if not folder.exists():
        train = [tone_stream(i, 4 + i % 3) for i in range(23)] + [text_stream(1)]
        for split, streams in (("train", train), ("valid", [tone_stream(99)])):
            shard = write_shard(folder / split, 0, split, streams, spec)
            write_index(folder / split, spec, [shard])
    return folder
