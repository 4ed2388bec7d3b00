"""Which parameters a run trains, by name.

A stage either trains a parameter as a whole, or of a matrix over the vocabulary only the rows of
the control tokens (`soundflow.train.rows`), or adapters beside a frozen matrix
(`soundflow.train.lora`). Whatever is not named keeps its bits; it has no gradient and no optimiser
state, and autograd keeps no activations for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn

from soundflow.errors import UserError, nearest
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import TIED_KEY
from soundflow.train.lora import add_adapters, linear_layers, merge_adapters
from soundflow.train.recipe import StageConfig
from soundflow.train.rows import RowEmbedding, RowHead

EMBEDDING, HEAD = "lm.model.embed_tokens", "lm.lm_head"


@dataclass(frozen=True)
class Selection:
    """The names that the patterns of a stage stand for.

    Attributes:
        whole: parameters that train as a whole.
        rows: modules of which rows train.
        adapted: layers that get an adapter.
    """

    whole: tuple[str, ...]
    rows: tuple[str, ...]
    adapted: tuple[str, ...]


def select(model: AudioInteractionModel, stage: StageConfig) -> Selection:
    """Resolves the patterns of a stage; the weights of ``model`` may be on the meta device.

    Raises:
        UserError: if a pattern matches nothing, or two of them contradict each other.
    """
    # A parameter that no forward pass uses is frozen from the start; tied matrices appear once.
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    tied = model.config.lm.tied
    whole = _matches("stage.train", stage.train, names, tied)
    over_vocabulary = [f"{EMBEDDING}.weight"] + ([] if tied else [f"{HEAD}.weight"])
    rows = _matches("stage.rows", stage.rows, over_vocabulary, tied)
    layers = () if stage.lora is None else stage.lora.targets
    adapted = _matches("stage.lora.targets", layers, linear_layers(model), tied)
    for key, chosen in (("rows", rows), ("lora.targets", [f"{a}.weight" for a in adapted])):
        both = sorted(set(whole) & set(chosen))
        if both:
            raise UserError(
                f"stage.{key}: {both[0]} is trained as a whole by stage.train",
                f"leave it out of stage.train, or out of stage.{key}",
            )
    return Selection(
        tuple(whole), tuple(name.removesuffix(".weight") for name in rows), tuple(adapted)
    )


def apply_stage(model: AudioInteractionModel, stage: StageConfig, seed: int = 0) -> None:
    """Makes ``model`` train what the stage says and nothing else. It computes what it did.

    Args:
        seed: of the adapters' random matrices.

    Raises:
        UserError: as `select`; or if an optional library is missing.
    """
    chosen = select(model, stage)
    if stage.lora is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            add_adapters(model, stage.lora, chosen.adapted)
    else:
        model.requires_grad_(False)
    whole = set(chosen.whole)
    for name, parameter in model.named_parameters():
        if name in whole:
            parameter.requires_grad_(True)
    _train_rows(model, chosen.rows)


def merge_stage(model: AudioInteractionModel) -> None:
    """Undoes `apply_stage`: a model of plain layers again, with what was trained in it.

    Called again, or on a model that no stage was applied to, it changes nothing.
    """
    merge_adapters(model)
    for name, layer in list(model.named_modules()):
        if isinstance(layer, RowEmbedding | RowHead):
            model.set_submodule(name, layer.plain())


@torch.no_grad()
def start_new_rows(model: AudioInteractionModel, ids: Sequence[int]) -> None:
    """Sets the rows ``ids`` of embedding and head to the mean of all other rows.

    A rare entry of the vocabulary means something else, or nothing at all; from the mean, a token
    is at first as probable as the average one (Hewitt, 2021, "Initializing new word embeddings").
    """
    lm = model.lm
    matrices = [lm.model.embed_tokens.weight]
    if not model.config.lm.tied:
        matrices.append(lm.lm_head.weight)
    for matrix in matrices:
        new = torch.tensor(ids, dtype=torch.long, device=matrix.device)
        total = matrix.sum(0, dtype=torch.float64) - matrix[new].sum(0, dtype=torch.float64)
        matrix[new] = (total / (len(matrix) - len(ids))).to(matrix.dtype)


def trained_parameters(model: nn.Module) -> int:
    """How many numbers the optimiser moves."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _train_rows(model: AudioInteractionModel, modules: Sequence[str]) -> None:
    ids = torch.tensor(sorted(model.tokens.control_ids), device=model.device)

    def rows_of(matrix: nn.Parameter) -> nn.Parameter:
        return nn.Parameter(matrix.detach()[ids].clone())

    if EMBEDDING in modules:
        matrix = model.get_parameter(f"{EMBEDDING}.weight")
        rows = rows_of(matrix)
        model.set_submodule(EMBEDDING, RowEmbedding(matrix, rows, ids))
        if model.config.lm.tied:
            model.set_submodule(HEAD, RowHead(matrix, rows, ids))
    if HEAD in modules:
        matrix = model.get_parameter(f"{HEAD}.weight")
        model.set_submodule(HEAD, RowHead(matrix, rows_of(matrix), ids))


def _matches(key: str, patterns: Sequence[str], names: Sequence[str], tied: bool) -> list[str]:
    """The names that any of the patterns matches, in their own order.

    Raises:
        UserError: for the first pattern that matches nothing.
    """
    found: set[str] = set()
    for number, pattern in enumerate(patterns):
        matched = [name for name in names if fnmatchcase(name, pattern)]
        if not matched:
            raise UserError(
                f"{key}[{number}]: {pattern!r} matches nothing in this model",
                _remedy(pattern, names, tied),
            )
        found.update(matched)
    return [name for name in names if name in found]


def _remedy(pattern: str, names: Sequence[str], tied: bool) -> str:
    if tied and fnmatchcase(TIED_KEY, pattern):
        return f"the head of this model is tied to its embedding: name {EMBEDDING}.weight"
    known = {re.sub(r"\.\d+\.", ".*.", name) for name in names}
    parents = {name.rpartition(".")[0] for name in known}
    close = nearest(pattern, sorted(known | {f"{parent}.*" for parent in parents}))
    return f"did you mean {close!r}?" if close else f"known: {', '.join(sorted(known)[:6])}, ..."
