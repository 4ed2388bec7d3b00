"""An engine from a checkpoint of any form, here or on the hub."""

from __future__ import annotations

from pathlib import Path

import torch

from inference.engine import Engine, engine_of, load_engine
from soundflow.convert.forms import recognise
from soundflow.convert.load_any import load_any, locate


def open_engine(
    name: str | Path, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Engine:
    """Reads a checkpoint folder of any form, or the hub repository of that id.

    Only a checkpoint of ours carries a calibrated threshold; any other speaks at its own odds.

    Raises:
        UserError: if it is missing, damaged, or none of the forms.
    """
    folder = locate(name)
    if recognise(folder) == "soundflow":
        return load_engine(folder, device, dtype)
    return engine_of(load_any(folder, device, dtype))
