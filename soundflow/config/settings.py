"""How settings are declared: ``@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)``.

Bounds are part of the field types: pydantic's (`PositiveInt` ...) or those below; numbers are
finite. They apply to recipes and to settings made in Python alike. ``__post_init__`` checks how
fields relate to each other.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from annotated_types import Interval
from pydantic import AfterValidator, ConfigDict

SETTINGS = ConfigDict(extra="forbid", allow_inf_nan=False)

Fraction = Annotated[float, Interval(ge=0, le=1)]
ProperFraction = Annotated[float, Interval(ge=0, lt=1)]
# What a model computes in; "auto" measures which is the faster one here.
NumberFormat = Literal["fp32", "bf16"]
Precision = Literal["auto", "fp32", "bf16"]
# What every random generator in use accepts.
Seed = Annotated[int, Interval(ge=0, lt=2**63)]
# More processes or threads than any one machine has cores are a slip of the finger.
Workers = Annotated[int, Interval(ge=0, le=4096)]
# So are numbers beyond these: what is computed from them overflows, or never ends.
Seconds = Annotated[float, Interval(ge=0, le=86_400)]
PositiveSeconds = Annotated[float, Interval(gt=0, le=86_400)]
Hours = Annotated[float, Interval(gt=0, le=100_000_000)]  # of what a data set holds
Decibels = Annotated[float, Interval(ge=-200, le=200)]
Level = Annotated[float, Interval(ge=-200, le=0)]  # against full scale, in decibels
Spread = Annotated[float, Interval(ge=0, le=200)]  # of levels, in decibels
Count = Annotated[int, Interval(gt=0, le=1_000_000_000)]  # of what a data set holds
Few = Annotated[int, Interval(gt=0, le=10_000)]  # of what a stream holds
FewOrNone = Annotated[int, Interval(ge=0, le=10_000)]


def _ordered(bounds: tuple[Any, Any]) -> tuple[Any, Any]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"must be a range from low to high, got {list(bounds)}")
    return bounds


# Of a range (low, high); the types of the pair bound its ends.
Ordered = AfterValidator(_ordered)


def _split_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError(f"{name!r} is not a split name: letters, digits, '-' and '_' only")
    return name


# A split names a folder and every sample in it; tar readers cut sample names at the first dot.
SplitName = Annotated[str, AfterValidator(_split_name)]
