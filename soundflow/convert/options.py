"""``key=value`` words of the command line as a frozen dataclass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from omegaconf import OmegaConf

from soundflow.config.load import build
from soundflow.errors import UserError

T = TypeVar("T")


def options_from(words: Sequence[str], schema: type[T]) -> T:
    """Raises:
    UserError: naming every word that is unknown or impossible.
    """
    bad = [word for word in words if "=" not in word]
    if bad:
        raise UserError(f"{bad[0]!r} is not key=value", "for example: to=release dtype=bfloat16")
    tree = OmegaConf.to_container(OmegaConf.from_dotlist(list(words)))
    assert isinstance(tree, dict)
    return build(schema, {str(k): v for k, v in tree.items()}, "soundflow convert")
