"""How settings are declared: ``@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)``.

Bounds stand with their fields, as pydantic's types (`PositiveInt` ...) or those below; numbers are
finite. They hold for recipes and for settings made in Python alike. What relates fields to each
other is left to ``__post_init__``.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from annotated_types import Interval
from pydantic import AfterValidator, ConfigDict

SETTINGS = ConfigDict(extra="forbid", allow_inf_nan=False)

Fraction = Annotated[float, Interval(ge=0, le=1)]
ProperFraction = Annotated[float, Interval(ge=0, lt=1)]
# What every random generator in use accepts.
Seed = Annotated[int, Interval(ge=0, lt=2**63)]
# More processes or threads than any one machine has cores are a slip of the finger.
Workers = Annotated[int, Interval(ge=0, le=4096)]


def _ordered(bounds: tuple[Any, Any]) -> tuple[Any, Any]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"must be a range from low to high, got {list(bounds)}")
    return bounds


# Of a range (low, high); what its ends may be stands in the types of the pair.
Ordered = AfterValidator(_ordered)


def _split_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError(f"{name!r} is not a split name: letters, digits, '-' and '_' only")
    return name


# A split names a folder and every sample in it; tar readers cut sample names at the first dot.
SplitName = Annotated[str, AfterValidator(_split_name)]
