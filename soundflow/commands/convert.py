"""`soundflow convert SOURCE DEST key=value...`: checkpoints of any form."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn

from soundflow.commands.progress import bars_of
from soundflow.convert.run import Progress as OnTotal
from soundflow.convert.run import convert, parse_options
from soundflow.convert.write_shards import OnBytes
from soundflow.errors import UserError
from soundflow.forms.load_any import locate
from soundflow.logs import OUT
from soundflow.shards.writer import INDEX_NAME


def run(args: argparse.Namespace) -> None:
    if (Path(args.source) / INDEX_NAME).is_file():
        raise UserError(
            f"{args.source}: is built data, not a checkpoint",
            f"soundflow export {Path(args.source).parent} {args.dest} --to FORM",
        )
    options = parse_options(args.options)
    with _bar() as progress:
        result = convert(locate(args.source), args.dest, options, progress)
    if getattr(args, "json", False):
        print(json.dumps(asdict(result), indent=1))
        return
    for line in result.lines():
        OUT.print(line, soft_wrap=True)
    OUT.print(f"written: {args.dest}", soft_wrap=True)


@contextmanager
def _bar() -> Iterator[OnTotal]:
    columns = (TextColumn("converting"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with bars_of(*columns) as bars:

        def begin(total_bytes: int) -> OnBytes:
            task = bars.add_task("", total=total_bytes)
            bars.start()
            return lambda n_bytes: bars.advance(task, n_bytes)

        yield begin
