"""How many clients of one server keep up with real time, by the number of its engines.

    python -m tests.benchmarks.bench_serve [FIRST]

A server of 2.5 million random parameters and a process of clients on loopback that send at the
speed of microphones, more of them each time (from FIRST on, half as many again), until more than
0.1 % of the chunks are decided on too late, by the server's own `/metrics`. Servers have one
engine, then one for every core; the clients compute on the same cores. About five minutes on two.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from inference.hardware import hardware
from soundflow.model.facts import TrainingFacts
from soundflow.model.threads import cores
from soundflow.model.weights import save_checkpoint
from tests.benchmarks.live.table import make_engine
from tests.inference.serve.servers import ROOT, Running, server

MAY_MISS = 1e-3
SECONDS = 12  # of audio of every client
FIRST = 32


def counted(running: Running, name: str) -> float:
    """The sum of a counter over its labels."""
    page = httpx.get(f"{running.url}/metrics").text
    lines = re.findall(rf"^{name}_total(?:{{.*}})? (\S+)$", page, re.MULTILINE)
    return sum(map(float, lines))


def missed(checkpoint: Path, engines: int, clients: int) -> float:
    """The share of chunks that a fresh server decides on too late."""
    words = ("session.threshold=0.99", f"engines={engines}", f"limits.sessions={clients}")
    with server(checkpoint, *words) as running:
        subprocess.run(
            [sys.executable, "-m", "tests.inference.serve.load", running.ws, str(clients),
             str(SECONDS)],
            cwd=ROOT, check=True, capture_output=True, timeout=600,
        )  # fmt: skip
        return counted(running, "soundflow_deadlines_missed") / counted(running, "soundflow_chunks")


def main() -> None:
    first = int(sys.argv[1]) if len(sys.argv) > 1 else FIRST
    print(hardware())
    with tempfile.TemporaryDirectory() as folder:
        engine = make_engine()
        facts = TrainingFacts(engine.limit_positions, system=engine.system)
        save_checkpoint(Path(folder), engine.model, engine.tokenizer, engine.spec, facts)
        for engines in dict.fromkeys((1, cores())):
            kept_up, clients = 0, first * engines
            while (share := missed(Path(folder), engines, clients)) <= MAY_MISS:
                print(f"  {engines} engine(s), {clients} clients: {share:.2%} late", flush=True)
                kept_up, clients = clients, clients + clients // 2
            print(f"{engines} engine(s): {kept_up} clients ({clients}: {share:.2%} late)")


if __name__ == "__main__":
    main()
