"""Whether memory stays flat: the peak of a build of 1 h beside that of a build of 10 h.

    python -m tests.benchmarks.bench_build_memory FOLDER_WITH_MANIFEST [--hours 1 10]

Each build runs in a process of its own with one worker, from the recipe for a folder of
recordings; what is printed is the largest resident set of that process, tables, report and
quarantine list included. The cache of decoded clips is full in both: it is part of the peak and
limited by ``prepare.memory_mb``.

Seen (570 recordings): 253.2 MB for 0.89 h, 263.7 MB for 9.41 h, +4.1 %.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from data_build.run import build
from tests.benchmarks.bench_build import recipe_of

STREAMS_PER_HOUR = 330  # of that recipe, nearly
MEMORY_MB = 32.0  # far less than the clips have, so that one hour fills it as ten do


def peak_mb(folder: Path, hours: float) -> tuple[float, float]:
    """Hours made and largest resident set, of a build in another process."""
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.bench_build_memory", str(folder),
             "--alone", scratch, "--hours", str(hours)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    made, peak = done.stdout.split()
    return float(made), float(peak)


def build_alone(folder: Path, scratch: Path, hours: float) -> None:
    recipe = recipe_of(folder, scratch / "data", round(hours * STREAMS_PER_HOUR))
    prepare = replace(recipe.prepare, memory_mb=MEMORY_MB)
    made = build(replace(recipe, prepare=prepare))
    print(made.hours, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0, 10.0])
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        build_alone(asked.folder, asked.alone, asked.hours[0])
        return
    peaks = []
    for hours in asked.hours:
        made, peak = peak_mb(asked.folder, hours)
        peaks.append(peak)
        print(f"{made:6.2f} h of stream: peak {peak:7.1f} MB", flush=True)
    print(f"the longest build needs {peaks[-1] / peaks[0] - 1:+.1%} of the shortest")


if __name__ == "__main__":
    main()
