"""An engine from a checkpoint of any form, here or on the hub."""

from __future__ import annotations

import logging
from pathlib import Path

from inference.engine import Engine, load_engine
from inference.profiles import OURS, Profile
from soundflow.config.settings import Precision
from soundflow.forms.load_any import locate

log = logging.getLogger(__name__)


def open_engine(
    name: str | Path,
    device: str = "cpu",
    precision: Precision = "fp32",
    profile: Profile = OURS,
) -> Engine:
    """Reads a checkpoint folder of any form, or the hub repository of that id.

    A warning says where the weights were never trained to decide.

    Raises:
        UserError: as `soundflow.forms.load_any.locate` and `inference.engine.load_engine`.
    """
    engine = load_engine(locate(name), device, precision, profile)
    if not engine.decides:
        log.warning(
            "%s was never trained to decide when to speak: what it does in a stream means nothing; "
            "it can be asked about finished recordings, and trained (recipes/train)", name,
        )  # fmt: skip
    return engine
