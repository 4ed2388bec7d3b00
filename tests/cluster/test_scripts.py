"""What the job scripts start, without a cluster."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from soundflow.config.load import read_tree
from soundflow.train.chain import is_chain, stage_recipes

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["stage3_streaming", "all_stages"])
def test_every_stage_runs_on_the_nodes_of_the_job(name: str, tmp_path: Path) -> None:
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    job = {"JOB_ID": "7", "NNODES": "3", "NTASKS_PER_NODE": "2", "JOB_NODELIST": "node[1-3]"}
    env = {**os.environ, **{f"SLURM_{key}": value for key, value in job.items()}}
    file = ROOT / "recipes" / "quickstart" / "stages" / f"{name}.yaml"
    done = subprocess.run(
        ["bash", ROOT / "slurm" / "train.sbatch", file],
        env={**env, "PATH": f"{tmp_path}:{env['PATH']}"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    words = done.stdout.splitlines()
    tree = read_tree(file, words[words.index(str(file)) + 1 :])
    del tree["command"]
    computes = (
        [vars(stage.compute) for stage in stage_recipes(tree, file)]
        if is_chain(tree)
        else [tree["compute"]]
    )
    assert [(c["nodes"], c["devices"]) for c in computes] == [(3, 2)] * len(computes)
