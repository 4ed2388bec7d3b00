"""Loads a checkpoint of any form into memory without converting it first."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from transformers.initialization import no_init_weights

from soundflow.errors import UserError
from soundflow.forms.folders import open_folder, recognise
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import Checkpoint, cast_parameters, load_checkpoint

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def load_any(
    folder: Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Checkpoint:
    """Reads a checkpoint folder of any form, the model in evaluation mode.

    Raises:
        UserError: as `soundflow.forms.folders.open_folder`.
    """
    if recognise(folder) == "soundflow":
        return load_checkpoint(folder, device, dtype)
    opened = open_folder(folder)
    with no_init_weights():
        model = AudioInteractionModel(opened.model, opened.spec.tokens)
    state = model.state_dict()
    with torch.no_grad():
        for name in opened.view:
            state[name].copy_(opened.view.read(name))  # shares storage with the parameters
    cast_parameters(model, dtype)
    return Checkpoint(model.to(device).eval(), opened.tokenizer, opened.spec, opened.facts)


def locate(name: str | Path, *, cache_dir: Path | None = None) -> Path:
    """The folder of a checkpoint: a path, or the id of a Hugging Face repository to fetch.

    Raises:
        UserError: if it is neither, or cannot be fetched.
    """
    path = Path(name)
    if path.is_dir():
        return path
    if not _HUB_ID.fullmatch(str(name)):
        raise UserError(
            f"{name}: no such checkpoint folder", "name a folder, or a hub id like owner/model"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(snapshot_download(str(name), cache_dir=cache_dir))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise UserError(
            f"{name}: is no folder here and cannot be fetched from the hub ({reason})",
            "check the name and the network, or download it and give its path",
        ) from error
