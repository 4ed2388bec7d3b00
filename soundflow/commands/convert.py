"""`soundflow convert SOURCE DEST key=value...`: checkpoints of any form, and built data."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from soundflow.convert.data import convert_data, is_data, parse_data_options
from soundflow.convert.load_any import locate
from soundflow.convert.run import Progress as OnTotal
from soundflow.convert.run import convert, parse_options
from soundflow.convert.write_shards import OnBytes
from soundflow.logs import ERR, OUT


def run(args: argparse.Namespace) -> None:
    if is_data(Path(args.source)):
        done = convert_data(args.source, args.dest, parse_data_options(args.options))
        OUT.print(done, markup=False, soft_wrap=True)
        return
    options = parse_options(args.options)
    with _bar() as progress:
        result = convert(locate(args.source), args.dest, options, progress)
    if getattr(args, "json", False):
        print(json.dumps(asdict(result), indent=1))
        return
    for line in result.lines():
        OUT.print(line, markup=False, soft_wrap=True)
    OUT.print(f"written: {args.dest}", markup=False, soft_wrap=True)


@contextmanager
def _bar() -> Iterator[OnTotal]:
    columns = (TextColumn("converting"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=ERR) as bars:

        def begin(total_bytes: int) -> OnBytes:
            task = bars.add_task("", total=total_bytes)
            return lambda n_bytes: bars.advance(task, n_bytes)

        yield begin
