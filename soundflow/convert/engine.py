"""An engine from a checkpoint of any form, here or on the hub."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from inference.engine import Engine, engine_of, load_engine, load_precise, read_calibration
from inference.profiles import OURS, Profile
from soundflow.config.settings import Precision
from soundflow.forms.folders import recognise
from soundflow.forms.load_any import load_any, locate

log = logging.getLogger(__name__)


def open_engine(
    name: str | Path,
    device: str = "cpu",
    precision: Precision = "fp32",
    profile: Profile = OURS,
) -> Engine:
    """Reads a checkpoint folder of any form, or the hub repository of that id.

    It speaks from the threshold of the folder's ``calibration.json``, or from 0.5. A warning says
    where the weights were never trained to decide.

    Raises:
        UserError: if it is missing, damaged, or none of the forms.
    """
    folder = locate(name)
    if recognise(folder) == "soundflow":
        engine = load_engine(folder, device, precision, profile)
    else:
        loaded = load_precise(partial(load_any, folder, device), precision, device)
        engine = engine_of(loaded, read_calibration(folder, loaded.model), profile)
    if not engine.decides:
        log.warning(
            "%s was never trained to decide when to speak: what it does in a stream means nothing; "
            "it can be asked about finished recordings, and trained (recipes/train)", name,
        )  # fmt: skip
    return engine
