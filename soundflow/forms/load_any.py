"""Loads a checkpoint of any form into memory without converting it first."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from soundflow.errors import UserError
from soundflow.forms.folders import Opened, open_folder
from soundflow.forms.tensor_names import OVER_VOCABULARY
from soundflow.model.interaction import AudioInteractionModel, assign, empty_model
from soundflow.model.weights import Checkpoint
from soundflow.protocol.tokens import TokenTable

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def load_any(
    folder: Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Checkpoint:
    """Reads a checkpoint folder of any form, the model in evaluation mode.

    Raises:
        UserError: as `soundflow.forms.folders.open_folder` and `read_model`.
    """
    opened = open_folder(folder)
    model = read_model(opened, opened.spec.tokens, device, dtype)
    return Checkpoint(model.eval(), opened.tokenizer, opened.spec, opened.facts)


def read_model(
    opened: Opened,
    tokens: TokenTable,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> AudioInteractionModel:
    """Reads a model tensor by tensor: what is held beside it is one tensor as it was stored.

    Parameters take ``dtype`` as they are read. The tables of positions stay float32, because half
    precision merges distant rotary positions.

    Args:
        tokens: its ``vocab_size`` may be smaller than that of the weights, which are often padded
            to a round number of rows; rows beyond it are left out.

    Raises:
        UserError: as `soundflow.forms.our_view.OurView.read`.
    """
    model = empty_model(opened.model, tokens)
    for name in opened.view:
        stored = opened.view.read(name)
        if name in OVER_VOCABULARY:
            stored = stored[: tokens.vocab_size]
        # Without a copy a tensor would stay a view of the file.
        assign(model, name, stored.to(device, dtype, copy=True))
    return model.to(device)


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
