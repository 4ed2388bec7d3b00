"""Time from `soundflow train` to the first new update: a new run against one at update 100 000.

    python -m tests.benchmarks.bench_resume [N_STREAMS]      # about two minutes

The split has a million streams: ten thousand shards with all their files, hard links to one of a
hundred streams, and a table of a million rows. The state is that of a small model, beside the
metrics of a hundred thousand updates. Each start is the real command in a process of its own, in
turns; what counts is the shortest of each, with the time it takes to import: by the clock, and by
the time that the processor spent on it, which other work on the machine changes less.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from inference.hardware import hardware
from soundflow.shards.writer import write_index, write_shard
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer
from soundflow.train.checkpoints import FOLDER, NOTE
from soundflow.train.metrics import FILE_NAME, read_metrics
from tests.soundflow.conftest import tone_stream

IN_A_SHARD = 100
AT = 100_000
LOG_EVERY = 10
TRIES = 4
COMMAND = Path(sys.executable).with_name("soundflow")


def make_split(folder: Path, n_streams: int) -> None:
    spec = stream_spec(tiny_tokenizer())
    samples = [tone_stream(seed, 4 + seed % 3) for seed in range(IN_A_SHARD)]
    first = write_shard(folder, 0, "made up", samples, spec)
    shards = [replace(first, name=f"{n:06d}.tar") for n in range(n_streams // IN_A_SHARD)]
    for shard in shards[1:]:
        for name in (shard.name, shard.name.replace(".tar", ".json")):
            os.link(folder / name.replace(shard.name[:6], "000000"), folder / name)
    write_index(folder, spec, shards)


def recipe(folder: Path, output: Path) -> dict[str, object]:
    return {
        "output": str(output),
        "data": {
            "sources": [{"folder": str(folder), "valid": None}],
            "global_batch_size": 32,
            "row_tokens": 2048,
        },
        "optim": {"updates": 2 * AT, "lr": 1e-4},
        "model": {
            "audio_encoder": {
                "width": 64, "layers": 2, "heads": 2, "ffn_width": 128, "max_positions": 32,
            },
            "lm": {
                "width": 128, "layers": 4, "heads": 4, "kv_heads": 2, "ffn_width": 384,
                "max_positions": 512, "tied": True,
            },
        },
        "compute": {"precision": "fp32", "threads": 1, "accelerator": "cpu"},
        "intervals": {"log_every": 1, "save_every": 1, "validate_every": AT},
    }  # fmt: skip


@dataclass(frozen=True)
class Start:
    """Seconds up to the first new update: by the clock, and of the processor."""

    clock: float
    cpu: float


def first_update(path: Path, output: Path, known: int, end: signal.Signals) -> Start:
    """Starts a run, and ends it when its metrics have a line after the first ``known`` bytes."""
    started = time.perf_counter()
    run = subprocess.Popen([COMMAND, "train", str(path)], stderr=subprocess.PIPE, text=True)
    metrics = output / FILE_NAME
    while run.poll() is None:
        if metrics.is_file() and metrics.stat().st_size > known:
            found = Start(time.perf_counter() - started, cpu_s(run.pid))
            run.send_signal(end)
            run.communicate()
            return found
        time.sleep(0.01)
    assert run.stderr is not None
    raise RuntimeError(run.stderr.read())


def cpu_s(pid: int) -> float:
    """What a process and its children have used, as Linux counts it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_s(int(child)) for child in children)


def make_resumable(output: Path) -> None:
    """The newest state as that of update `AT`, and the metrics that led there."""
    states = sorted((output / FOLDER).glob("update-*"))
    target = states[-1].with_name(f"update-{AT:09d}")
    states[-1].replace(target)
    note = json.loads((target / NOTE).read_text())
    (target / NOTE).write_text(json.dumps({**note, "update": AT}))
    line = read_metrics(output / FILE_NAME)[0]
    lines = [json.dumps({**line, "update": n}) for n in range(LOG_EVERY, AT + 1, LOG_EVERY)]
    (output / FILE_NAME).write_text("\n".join(lines) + "\n")


def main() -> None:
    n_streams = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    print(f"{hardware()}; {n_streams:,} streams in {n_streams // IN_A_SHARD:,} shards", flush=True)
    with tempfile.TemporaryDirectory() as name:
        made, new, prepared, resumed = (Path(name) / n for n in ("data", "new", "state", "resumed"))
        make_split(made / "train", n_streams)
        recipes = {}
        for output in (new, resumed):
            recipes[output] = output.with_suffix(".yaml")
            recipes[output].write_text(yaml.safe_dump(recipe(made, output)))
        first_update(recipes[resumed], resumed, 0, signal.SIGTERM)  # also warms the page cache
        make_resumable(resumed)
        resumed.replace(prepared)
        known = (prepared / FILE_NAME).stat().st_size
        took: dict[int, list[Start]] = {0: [], AT: []}
        for _ in range(TRIES):
            shutil.rmtree(new, ignore_errors=True)
            took[0].append(first_update(recipes[new], new, 0, signal.SIGKILL))
            shutil.rmtree(resumed, ignore_errors=True)
            shutil.copytree(prepared, resumed)
            took[AT].append(first_update(recipes[resumed], resumed, known, signal.SIGKILL))
            print(f"new {took[0][-1]}, resumed {took[AT][-1]}", flush=True)
    for what in ("clock", "cpu"):
        new_s, resumed_s = (min(getattr(t, what) for t in starts) for starts in took.values())
        print(f"{what}: first new update after {new_s:.2f} s in a new run, {resumed_s:.2f} s at "
              f"update {AT:,}: {resumed_s / new_s - 1:+.0%}")  # fmt: skip


if __name__ == "__main__":
    main()
