"""A real SLURM cluster of three nodes on this machine, where one can be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

UP_S, DOWN_S = 240, 60  # with the packages of SLURM to be installed, where they are missing
# Continuous integration installs what the cluster needs: there a missing package is a failure.
IN_CI = bool(os.environ.get("CI"))


@pytest.fixture(scope="module")
def slurm(shared: Path) -> Iterator[dict[str, str]]:
    """The environment in which ``sbatch`` reaches the cluster."""
    scripts = shared / "slurm-cluster"
    if not (scripts / "up").is_file():
        pytest.skip("the scripts of the SLURM cluster are not beside the project")
    if not IN_CI and (os.geteuid() != 0 or shutil.which("sbatch") is None):
        pytest.skip("needs root and the packages of SLURM")
    folder = tempfile.mkdtemp(prefix="sf-slurm-")  # short: its sockets have no room for more
    settings = {
        "SLURM_CLUSTER_DIR": folder,
        "SLURM_CLUSTER_NODES": "3",
        "SLURM_CLUSTER_INSTALL": str(int(IN_CI)),
    }
    environment = {**os.environ, **settings}
    try:
        done = subprocess.run(
            [scripts / "up"], env=environment, check=True, capture_output=True, text=True,
            timeout=UP_S,
        )  # fmt: skip
        lines = [line.removeprefix("export ") for line in done.stdout.splitlines()]
        yield {**environment, **dict(line.split("=", 1) for line in lines)}
    finally:
        subprocess.run([scripts / "down"], env=environment, check=True, timeout=DOWN_S)
        shutil.rmtree(folder, ignore_errors=True)
