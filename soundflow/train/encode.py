"""Computes the features that a run with ``data.features: cached`` reads: each rank its share."""

from __future__ import annotations

import torch
from torch import Tensor

from soundflow.atomic import remove_abandoned
from soundflow.data.datamodule import StreamData
from soundflow.data.encoded import EncodedStreams, fingerprint
from soundflow.errors import UserError
from soundflow.logs import ERR
from soundflow.model.encoder import in_batches
from soundflow.model.interaction import AudioInteractionModel
from soundflow.train.held_out import Poll
from soundflow.train.ranks import from_first, is_first, place, together

_TOLD_EVERY = 50  # shards
_PROJECTION = "proj."  # comes after what is kept, and may train


def encode_streams(data: StreamData, model: AudioInteractionModel, poll: Poll) -> None:
    """Gives ``data`` the states of all training streams, once all ranks have computed theirs.

    Args:
        model: before it is divided over ranks.
        poll: called after every shard, which is kept: the next run goes on from there.

    Raises:
        UserError: on all ranks, if the tower trains, more would be written than the recipe allows,
            or the disk is full.
        Stopped: on all ranks, if one of them was asked to stop meanwhile.
    """
    config = data.config
    assert config.features_folder is not None  # DataConfig sees to it
    tower = [(n, p) for n, p in model.encoder.named_parameters() if not n.startswith(_PROJECTION)]
    trained = [name for name, parameter in tower if parameter.requires_grad]
    if trained:
        raise UserError(
            f"data.features=cached: stage.train trains encoder.{trained[0]}, and cached features "
            "are those of a frozen tower",
            "set data.features=live, or leave the tower out of stage.train (all but encoder.proj)",
        )
    key = from_first(fingerprint(tower, data.spec) if is_first() else "")
    width = int(model.encoder.ln_post.normalized_shape[0])
    encoded = EncodedStreams(config.features_folder / key, tuple(data.train_splits), width)
    if is_first():
        remove_abandoned(encoded.folder)  # a shard that a killed run had not finished is large
    missing = from_first(encoded.missing())
    _require_allowed(encoded, encoded.n_bytes(missing), config.features_max_gb)
    rank, world = place()
    together(lambda: _write(encoded, missing[rank::world], model, poll, first=rank == 0))
    data.encoded = encoded


def _require_allowed(encoded: EncodedStreams, n_bytes: int, max_gb: float) -> None:
    """Tells what will be written.

    Raises:
        UserError: if it is more than the recipe allows.
    """
    size = f"{n_bytes / 1e9:.3g} GB"
    if n_bytes > max_gb * 1e9:
        raise UserError(
            f"data.features=cached: {size} of features would be written to {encoded.folder}, "
            f"data.features_max_gb={max_gb:g}",
            f"allow it by data.features_max_gb={n_bytes / 1e9 + 0.001:.3f}, or set "
            "data.features=live",
        )
    if is_first():
        what = f"writing {size} of features to" if n_bytes else "all features are in"
        ERR.print(f"{what} {encoded.folder}", soft_wrap=True)


@torch.no_grad()
def _write(
    encoded: EncodedStreams,
    places: list[tuple[int, int]],
    model: AudioInteractionModel,
    poll: Poll,
    *,
    first: bool,
) -> None:
    training = model.training
    model.eval()

    def encode(mel: Tensor) -> Tensor:
        return in_batches(model.encode_states, mel, model.device)

    for number, (split, shard) in enumerate(places, 1):
        encoded.write(split, shard, encode)
        poll()
        if first and number % _TOLD_EVERY == 0:
            ERR.print(f"features: {number} of {len(places)} shards of the first process")
    model.train(training)
