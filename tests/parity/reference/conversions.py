"""What converts to what, and how far apart the logits are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from soundflow.convert.run import convert, parse_options
from soundflow.forms.folders import open_folder

FORMS = ("soundflow", "release", "thinker", "plain")


def conversion_lines(sources: dict[str, Path], work: Path) -> Iterator[str]:
    """A line of the documentation for every source and form: there, and back to ours.

    Args:
        sources: name for a reader -> checkpoint folder.
        work: an empty folder.
    """
    for number, (name, source) in enumerate(sources.items()):
        ours = work / f"{number}-ours"
        convert(source, ours)
        for to in FORMS:
            there, back = work / f"{number}-{to}", work / f"{number}-{to}-back"
            result = convert(source, there, parse_options([f"to={to}", "shard_gb=0.01"]))
            returned = convert(there, back)
            assert result.max_logit_difference is not None
            assert returned.max_logit_difference is not None
            yield (
                f"| {name} | {to} | {result.n_tensors} | {result.max_logit_difference:.1e} of "
                f"{result.logit_scale:.1f} | {_back(ours, back)} | "
                f"{returned.max_logit_difference:.1e} |"
            )


def dtype_lines(source: Path, work: Path) -> Iterator[str]:
    for dtype in ("float32", "float16", "bfloat16"):
        result = convert(source, work / dtype, parse_options([f"dtype={dtype}"]))
        assert result.max_logit_difference is not None
        same = "the same" if result.same_choices else "not all the same"
        yield (
            f"| {dtype} | {result.max_logit_difference:.1e} of {result.logit_scale:.1f} | {same} |"
        )


def _back(ours: Path, back: Path) -> str:
    """How the tensors of two checkpoints of ours compare."""
    left, right = open_folder(ours).view, open_folder(back).view
    shared = [n for n in left if n in set(right)]
    equal = sum(torch.equal(left.read(n), right.read(n)) for n in shared)
    extra = len(right.rows) - len(shared)
    return f"{equal} of {len(left.rows)} to the bit" + (
        f", head written out (+{extra})" * bool(extra)
    )
