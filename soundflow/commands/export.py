"""`soundflow export DATA DEST --to FORM`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from soundflow.export.export import export
from soundflow.logs import OUT


def run(args: argparse.Namespace) -> None:
    done = export(Path(args.data), Path(args.dest), args.to, args.model)
    if args.json:
        print(json.dumps(asdict(done), indent=1))
        return
    counts = ", ".join(f"{split} {n:,}" for split, n in done.splits.items())
    OUT.print(f"samples written: {counts}", soft_wrap=True)
    OUT.print(f"{done.to}: {done.dest}", soft_wrap=True)
