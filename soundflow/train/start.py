"""Where the weights of a run come from: drawn at random, or read from a checkpoint of any form.

A checkpoint is read tensor by tensor into a model without memory of its own
(`soundflow.forms.load_any.read_model`). Every stored tensor is accounted for: one that is missing
or matches nothing is an error, and those of parts that our model does not have are counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from soundflow.data.datamodule import StreamData
from soundflow.errors import UserError
from soundflow.forms.folders import Opened, open_folder
from soundflow.forms.load_any import read_model
from soundflow.model.config import ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.tokens import TokenTable
from soundflow.text.tokenizer import TextTokenizer
from soundflow.train.recipe import TrainRecipe
from soundflow.train.stages import start_new_rows


@dataclass(frozen=True)
class Start:
    """A model before its first update, and what a person should know about its weights."""

    model: AudioInteractionModel
    notes: tuple[str, ...]


def open_origin(recipe: TrainRecipe) -> Opened | None:
    """The checkpoint that a run starts from; None: random weights.

    Raises:
        UserError: if it is missing, damaged or of another kind of model.
    """
    return None if recipe.start_from is None else open_folder(recipe.start_from)


def start(
    recipe: TrainRecipe, origin: Opened | None, data: StreamData, tokenizer: TextTokenizer
) -> Start:
    """The model that a run begins with, all of it trainable; see `require_fit`.

    Raises:
        UserError: if the checkpoint is damaged.
    """
    sizes = model_config(recipe, origin)
    if origin is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            model = AudioInteractionModel(sizes, data.spec.tokens)
        notes = ["weights: random"]
    else:
        model = read_model(origin, data.spec.tokens)
        notes = what_was_read(origin, data.spec.tokens)
    if recipe.stage.new_rows == "mean":
        start_new_rows(model, tokenizer.reused_ids)
        notes.append(
            f"{len(tokenizer.reused_ids)} control tokens re-use entries of the vocabulary: "
            "their rows start at the mean of all others"
        )
    return Start(model.train(), tuple(notes))


def require_fit(
    tokenizer: TextTokenizer, origin: Opened | None, sizes: ModelConfig, data: StreamData
) -> None:
    """Checks that vocabulary, checkpoint, model and data can be trained together.

    Args:
        origin: the checkpoint that the run starts from, if any.

    Raises:
        UserError: naming what differs, or the stream that is longer than the model's positions.
    """
    if tokenizer.fingerprint != data.spec.tokenizer:
        raise UserError(
            f"{data.named}: built with tokenizer {data.spec.tokenizer}, "
            f"the recipe's vocabulary is {tokenizer.fingerprint}",
            "name the vocabulary of the data build",
        )
    longest, positions = data.longest_stream(), sizes.lm.max_positions
    if longest > positions:
        raise UserError(
            f"{data.named}: the longest stream has {longest} tokens, "
            f"model.lm.max_positions is {positions}",
            "build shorter streams, or give the model more positions",
        )
    sizes.require_chunk(data.spec.time, data.named)
    if origin is not None:
        require_spec(origin.spec, data.spec, str(origin.folder), data.named)


def require_spec(weights: StreamSpec, data: StreamSpec, where: str, data_where: str) -> None:
    """Checks that weights fit streams: any chunk, any maximum, at least as many ids.

    Raises:
        UserError: if anything else differs.
    """
    front_end = replace(
        weights.front_end,
        maximum=data.front_end.maximum,
        window_chunks=data.front_end.window_chunks,
    )
    tokens = weights.tokens
    if tokens.vocab_size > data.tokens.vocab_size:
        tokens = replace(tokens, vocab_size=data.tokens.vocab_size)
    fitted = replace(weights, time=data.time, front_end=front_end, tokens=tokens)
    fitted.require_same(data, where, data_where)


def what_was_read(opened: Opened, tokens: TokenTable) -> list[str]:
    """One line about the tensors of a checkpoint, and one about each kind that was left out."""
    kind = {"soundflow": "SoundFlow checkpoint", "release": "published release"}
    name = kind.get(opened.form, f"{opened.form} checkpoint")
    lines = [f"weights: {len(opened.view.rows):,} tensors of {opened.folder} ({name})"]
    if opened.view.dropped:
        counts = ", ".join(f"{n:,} of {prefix}*" for prefix, n in opened.view.dropped.items())
        lines.append(f"left out, the model has no place for them: {counts}")
    if opened.made:
        some = ", ".join(opened.made[:2]) + (", ..." if len(opened.made) > 2 else "")
        lines.append(f"in no file, zero or a random projection: {len(opened.made):,} ({some})")
    beyond = opened.spec.tokens.vocab_size - tokens.vocab_size
    if beyond:
        lines.append(f"left out: the last {beyond:,} rows of the vocabulary, which no id reaches")
    return lines


def model_config(recipe: TrainRecipe, origin: Opened | None) -> ModelConfig:
    """The sizes of the model: those of the recipe, or of the checkpoint that it starts from."""
    if origin is not None:
        return origin.model
    assert recipe.model is not None  # TrainRecipe sees to it
    return recipe.model
