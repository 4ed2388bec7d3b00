"""How many clients of one server keep up with real time, by the number of its engines.

    python -m tests.benchmarks.bench_serve [FIRST]

A server of 2.5 million random parameters and a process of clients on loopback that send at the
speed of microphones, each with a reply of 24 tokens in 12 s; more of them each time (from FIRST on,
half as many again), until more than 0.1 % of the decisions reach their client too late. Servers
have one engine, then one for every core; the clients compute on the same cores. About six minutes
on two.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from inference.hardware import hardware
from soundflow.model.facts import TrainingFacts
from soundflow.model.threads import cores
from soundflow.model.weights import save_checkpoint
from tests.benchmarks.live.table import make_engine
from tests.inference.serve.servers import ROOT, server

MAY_BE_LATE = 1e-3
SECONDS = 12  # of audio of every client
FIRST = 32
ROW = "| {:>7} | {:>7} | {:>7} | {:>19} | {:>21} |"


def measured(checkpoint: Path, engines: int, clients: int) -> dict[str, Any]:
    """What clients of a fresh server measure: see `tests.inference.serve.load`."""
    words = (
        f"engines={engines}", f"limits.sessions={clients}",
        "session.sampling={temperature: 0.0, max_reply_tokens: 24, max_repeats: null}",
    )  # fmt: skip
    with server(checkpoint, *words) as running:
        done = subprocess.run(
            [sys.executable, "-m", "tests.inference.serve.load", running.ws, str(clients),
             str(SECONDS)],
            cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=600,
        )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    first = int(sys.argv[1]) if len(sys.argv) > 1 else FIRST
    print(hardware())
    print(ROW.format("engines", "clients", "late", "decision p50 / p99", "first text p50 / p99"))
    with tempfile.TemporaryDirectory() as folder:
        engine = make_engine()
        facts = TrainingFacts(engine.limit_positions, system=engine.system)
        save_checkpoint(Path(folder), engine.model, engine.tokenizer, engine.spec, facts)
        for engines in dict.fromkeys((1, cores())):
            clients, late = first * engines, 0.0
            while late <= MAY_BE_LATE:
                found = measured(Path(folder), engines, clients)
                late = found["late"]
                decision, text = (
                    f"{1e3 * found[f'{what}_p50_s']:.0f} / {1e3 * found[f'{what}_p99_s']:.0f} ms"
                    for what in ("decision", "first_text")
                )
                print(ROW.format(engines, clients, f"{late:.2%}", decision, text), flush=True)
                clients += clients // 2


if __name__ == "__main__":
    main()
