"""Where metrics go, read back from there."""

from __future__ import annotations

import csv
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import wandb
from lightning.pytorch.loggers import WandbLogger

from soundflow.config.record import record as record_recipe
from soundflow.errors import UserError
from soundflow.train.held_out import LiveFigures
from soundflow.train.metrics import read_metrics
from soundflow.train.provenance import git_state
from soundflow.train.recipe import LoggingConfig, OptimConfig, TrainRecipe, WandbConfig
from soundflow.train.run import run
from tests.soundflow.train.test_run import killed_after

Recipes = Callable[..., TrainRecipe]
SAID = [{"stream": "a", "verdict": "hit", "at_s": 1.2, "wanted": "high", "said": "high"}]


def live(checkpoint: object, poll: object) -> LiveFigures:
    return LiveFigures({"f1": 0.5}, {"threshold": 0.4}, SAID)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Everything that wandb could reach is this socket; the list holds what it is asked."""
    callers: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    callers.append(connection.recv(200))

        threading.Thread(target=listen, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        for name in ("WANDB_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, url)
        monkeypatch.setenv("WANDB_SILENT", "true")
        for name in ("WANDB_MODE", "WANDB_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        yield callers
        server.shutdown(socket.SHUT_RDWR)


def test_wandb_offline_calls_nobody(
    recipe: Recipes, service: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, object]] = []
    real = WandbLogger.log_hyperparams

    def record(self: WandbLogger, params: dict[str, object]) -> None:
        sent.append(params)
        real(self, params)

    monkeypatch.setattr(WandbLogger, "log_hyperparams", record)
    asked = LoggingConfig(wandb=WandbConfig("soundflow", "offline"))
    base = recipe(logging=asked)
    run(base, live)
    (folder,) = (base.output / "wandb").glob("offline-run-*")
    assert list(folder.glob("run-*.wandb"))
    assert list(folder.rglob("*transcripts*.json")), "the table of transcripts"
    assert wandb.run is None, "finished before the command says how the run ended"
    assert sent[0]["optim"]["lr"] == 1e-3  # type: ignore[index]
    assert {"git", "data_fingerprint", "spec"} <= set(sent[0])
    assert service == []


@pytest.mark.slow
def test_a_whole_process_calls_nobody(
    recipe: Recipes, service: list[bytes], tmp_path: Path
) -> None:
    """The command with all that its libraries do while they are imported, and when they end."""
    asked = LoggingConfig(wandb=WandbConfig("soundflow", "offline"))
    record_recipe(tmp_path / "run.yaml", recipe(logging=asked, optim=OptimConfig(updates=1)))
    command = [sys.executable, "-m", "soundflow.cli", "train", str(tmp_path / "run.yaml")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    assert service == []


def test_wandb_disabled_writes_nothing(recipe: Recipes, service: list[bytes]) -> None:
    base = recipe(logging=LoggingConfig(wandb=WandbConfig("soundflow", "disabled")))
    run(base)
    assert not (base.output / "wandb").exists()
    assert service == []


def test_wandb_without_a_login_is_said_before_any_work(
    recipe: Recipes, service: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", "/nowhere/netrc")
    monkeypatch.setattr("wandb.api._api_key", None, raising=False)
    base = recipe(logging=LoggingConfig(wandb=WandbConfig("soundflow")))
    with pytest.raises(UserError, match="not logged in") as caught:
        run(base)
    assert "logging.wandb.mode=offline" in caught.value.hint
    assert not base.output.exists()


def test_tensorboard_and_csv_hold_what_the_metrics_hold(
    recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a kill: what was written about updates that were taken again is hidden."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard"
    )
    base = recipe(logging=LoggingConfig(tensorboard=True, csv=True))
    killed_after(5, base, monkeypatch)
    result = run(base, live)
    rows = read_metrics(result.metrics_file)
    board = accumulator.EventAccumulator(str(base.output / "tensorboard"))
    board.Reload()
    for name in ("train/loss", "train/grad_norm", "speed/tokens_per_s", "valid/decision_tp"):
        want = [(row["update"], pytest.approx(row[name], rel=1e-5)) for row in rows if name in row]
        assert [(e.step, e.value) for e in board.Scalars(name)] == want
    (said,) = board.Tags()["tensors"]
    assert "transcripts" in said
    assert json.loads((base.output / "provenance.json").read_text())["spec"]
    with (base.output / "metrics.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["train/loss"] for row in table] == [str(r.get("train/loss", "")) for r in rows]


def test_the_state_of_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    found = git_state()
    assert found is None or len(found["commit"]) == 40
    monkeypatch.chdir("/")
    assert git_state() is None


def test_speed_and_counts_are_in_every_line(recipe: Recipes) -> None:
    base = recipe()
    rows = read_metrics(run(replace(base)).metrics_file)
    for row in rows:
        if "train/loss" in row:
            assert row["speed/tokens_per_s"] > 0
            assert 0 <= row["speed/data_wait"] <= 1
            assert row["speed/left_s"] == pytest.approx(row["speed/update_s"] * (6 - row["update"]))
            assert row["speed/peak_memory_gb"] > 0
            assert "speed/mfu" not in row, "the peak of a CPU is not known"
    last = [row for row in rows if "valid/loss" in row][-1]
    names = ("tp", "fp", "fn", "tn")
    assert sum(last[f"valid/decision_{name}"] for name in names) > 0
    tasks = {key.split("/")[2] for key in last if key.startswith("valid/task/")}
    assert tasks == {"tones"} or len(tasks) > 1
