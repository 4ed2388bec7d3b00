"""A checkpoint folder: weights as safetensors, with everything needed to use them.

::

    model.safetensors    or shards of at most 5 GB (`soundflow.model.weight_files`)
    config.json          sizes of the model, and ``training``: its `TrainingFacts`
    spec.json            the StreamSpec the weights were trained on, with its fingerprint
    tokenizer.json
    calibration.json     where a threshold was chosen on held-out streams (`soundflow evaluate`, or
                         validation while training)

The folder appears whole, or not at all, once every tensor in it was compared with the model. A
matrix that is tied to another is stored once.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from soundflow.atomic import disk_error, unfinished, write_text
from soundflow.errors import UserError
from soundflow.model.config import ModelConfig
from soundflow.model.facts import CALIBRATION_FILE, TrainingFacts
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.stored_tensors import files_of, from_safetensors
from soundflow.model.weight_files import write_shards
from soundflow.protocol.spec import StreamSpec
from soundflow.stored_json import read_object
from soundflow.text.presets import SPEC
from soundflow.text.tokenizer import TextTokenizer

FORMAT_VERSION = 2
SHARD_BYTES = 5 * 10**9
CONFIG = "config.json"
TIED_KEY = "lm.lm_head.weight"
FINGERPRINT_ELEMENTS = 64  # of each parameter


@dataclass(frozen=True)
class Checkpoint:
    """A model with everything else that a session needs."""

    model: AudioInteractionModel
    tokenizer: TextTokenizer
    spec: StreamSpec
    facts: TrainingFacts


def save_checkpoint(
    folder: str | Path,
    model: AudioInteractionModel,
    tokenizer: TextTokenizer,
    spec: StreamSpec,
    facts: TrainingFacts,
    calibration: Mapping[str, Any] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes a checkpoint folder; one that is there already is replaced, all but its calibration.

    Args:
        calibration: of these weights. One that is in the folder already stays, unless it is
            of others.
        shard_bytes: maximum size of a file of weights.

    Raises:
        UserError: if tokenizer and spec do not belong together, or the disk is full.
    """
    target = Path(folder)
    require_tokenizer(spec, tokenizer, target)
    partial = unfinished(target)
    try:
        partial.mkdir(parents=True, exist_ok=True)
        metadata = {"format": "pt", "spec_fingerprint": spec.fingerprint}
        tensors = _tensors_of(model)
        sizes = {name: tensor.nbytes for name, tensor in tensors.items()}
        write_shards(partial, sizes, tensors.__getitem__, shard_bytes, metadata, verify=True)
        tokenizer.save(partial)
        _write_json(partial / SPEC, {"fingerprint": spec.fingerprint, "spec": spec.to_json()})
        _write_json(partial / CONFIG, config_json(model.config, facts))
        fingerprint = weights_fingerprint(model)
        if _is_calibrated(target, fingerprint):
            shutil.copyfile(target / CALIBRATION_FILE, partial / CALIBRATION_FILE)
        elif calibration is not None:
            stamped = {**calibration, "fingerprint": fingerprint}
            _write_json(partial / CALIBRATION_FILE, stamped)
        _replace_folder(partial, target)
    except (OSError, SafetensorError) as error:
        raise _write_error(error, target) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_calibrated(folder: Path, fingerprint: str) -> bool:
    """Whether a folder holds a calibration, and not one of other weights."""
    if not (folder / CALIBRATION_FILE).is_file():
        return False
    try:
        return _read_json(folder / CALIBRATION_FILE).get("fingerprint") in (None, fingerprint)
    except UserError:
        return True  # whoever reads it is told


def weights_fingerprint(model: AudioInteractionModel) -> str:
    """16 hex digits of some elements of every parameter, in bfloat16.

    The same in whatever precision the weights are loaded, and where a layout holds a tied matrix
    twice; an update of the optimiser changes it.
    Reads little: thousands of elements, not all.
    """
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters(remove_duplicate=False)):
        flat = parameter.detach().reshape(-1)
        some = flat[:: max(1, len(flat) // FINGERPRINT_ELEMENTS)][:FINGERPRINT_ELEMENTS]
        digest.update(f"{name}:{tuple(parameter.shape)}".encode())
        digest.update(some.to("cpu", torch.bfloat16).view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]


def read_facts(folder: Path) -> tuple[ModelConfig, TrainingFacts, StreamSpec]:
    """The metadata of a checkpoint, checked against the size of its weights.

    Raises:
        UserError: if the folder is no checkpoint, or its files contradict themselves or each other.
    """
    path = folder / CONFIG
    data = _read_json(path)
    if data.get("format") != FORMAT_VERSION:
        raise UserError(
            f"{path}: format {data.get('format')}, this version reads {FORMAT_VERSION}",
            "load it with the version that wrote it",
        )
    spec = _read_spec(folder)
    config = ModelConfig.from_json(data.get("model"), f"{path}: model")
    config.require_chunk(spec.time, f"{path}: model")
    stored = from_safetensors(folder).values()
    for file in files_of(stored):
        _require_fingerprint(file, spec)
    held = sum(math.prod(tensor.shape) for tensor in stored)
    require_parameters(config, spec.tokens.vocab_size, held, path)
    facts = TrainingFacts.from_json(data.get("training"), spec, f"{path}: training")
    return config, facts, spec


def config_json(config: ModelConfig, facts: TrainingFacts) -> dict[str, Any]:
    """The content of ``config.json``."""
    return {"format": FORMAT_VERSION, "model": config.to_json(), "training": facts.to_json()}


def require_parameters(config: ModelConfig, vocab_size: int, stored: int, where: Path) -> None:
    """Refuses sizes far beyond the weights, before memory is asked for them.

    A smaller difference is named tensor by tensor when the weights are read.

    Args:
        stored: numbers in the weights, by their headers.

    Raises:
        UserError: if a model of these sizes has more than twice as many parameters.
    """
    least = config.least_parameters(vocab_size)
    if least > 2 * stored:
        raise UserError(
            f"{where}: model: its sizes need at least {least:.3g} parameters, the weights have "
            f"{stored:.3g}",
            "the config and the weights belong to different models",
        )


def _tensors_of(model: AudioInteractionModel) -> dict[str, Tensor]:
    """What a file holds: every tensor once, contiguous, on the CPU."""
    state = model.state_dict()
    if model.config.lm.tied:
        state.pop(TIED_KEY)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def cast_parameters(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Parameters to ``dtype``; buffers keep theirs."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)


def _require_fingerprint(file: Path, spec: StreamSpec) -> None:
    with safe_open(file, framework="pt", device="cpu") as tensors:
        stamped = (tensors.metadata() or {}).get("spec_fingerprint", spec.fingerprint)
    if stamped != spec.fingerprint:
        raise UserError(
            f"{file}: weights of spec {stamped}, spec.json is {spec.fingerprint}",
            "do not mix the files of two checkpoints",
        )


def require_tokenizer(spec: StreamSpec, tokenizer: TextTokenizer, where: Path) -> None:
    """Raises a `UserError` if ids of ``tokenizer`` mean something else in streams of ``spec``."""
    if spec.tokenizer != tokenizer.fingerprint:
        raise UserError(
            f"{where}: tokenizer {tokenizer.fingerprint}, the spec names {spec.tokenizer}",
            "do not mix the files of two checkpoints",
        )


def _read_spec(folder: Path) -> StreamSpec:
    data = _read_json(folder / SPEC)
    try:
        spec = StreamSpec.from_json(data.get("spec", {}))
    except UserError as error:
        raise UserError(f"{folder / SPEC}: {error.message}", error.hint) from error
    if spec.fingerprint != data.get("fingerprint"):
        raise UserError(
            f"{folder / SPEC}: fingerprint {data.get('fingerprint')}, its content has "
            f"{spec.fingerprint}",
            "the file was edited; restore it",
        )
    return spec


def _read_json(path: Path) -> dict[str, Any]:
    return read_object(path, absent="name a checkpoint folder", damaged="copy the checkpoint again")


def _write_json(path: Path, data: dict[str, Any]) -> None:
    write_text(path, json.dumps(data, indent=1, sort_keys=True, allow_nan=False))


def _replace_folder(partial: Path, target: Path) -> None:
    """A folder cannot be renamed over another that has files in it: the old one steps aside."""
    aside = unfinished(target.with_name(f"{target.name}.old"))
    if target.exists():
        target.replace(aside)
    partial.replace(target)
    shutil.rmtree(aside, ignore_errors=True)


def _write_error(error: Exception, target: Path) -> Exception:
    if isinstance(error, OSError):
        return disk_error(error, target)
    return UserError(f"{target}: weights cannot be written ({error})", "is the disk full?")
