"""Recognising a checkpoint folder, and opening it as ours without reading its weights.

==========  ====================================================================================
release     the published layout: litgpt shards, ``model_config.yaml``, the tower as ``.pth``
omni        Qwen2.5-Omni whole: ``thinker.*`` beside ``talker.*`` and ``token2wav.*``
thinker     its Thinker alone
plain       Qwen2ForCausalLM or LlamaForCausalLM, and beside it ``audio_tower/`` as
            Qwen2_5OmniAudioEncoder or Whisper (`soundflow.forms.joined_parts`)
soundflow   our own
==========  ====================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from soundflow.errors import UserError
from soundflow.forms import model_configs as sizes
from soundflow.forms import tensor_names as names
from soundflow.forms.joined_parts import (
    NOT_OF_A_TOWER,
    TOWER_KINDS,
    new_projection,
    tower_tensors,
    zero_biases,
)
from soundflow.forms.our_view import OurView, match
from soundflow.interop.published import PUBLISHED_POSITIONS, PUBLISHED_SYSTEM
from soundflow.model.config import ModelConfig
from soundflow.model.facts import TrainingFacts
from soundflow.model.stored_tensors import (
    StoredTensor,
    StoredTensors,
    from_pth,
    from_safetensors,
    prefixed,
)
from soundflow.model.weights import CONFIG, read_facts, require_parameters, require_tokenizer
from soundflow.protocol.front_end import FrontEnd
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.tokens import TokenTable
from soundflow.stored_json import read_object
from soundflow.text.presets import NOTE, SPEC, TABLE_FILE
from soundflow.text.tokenizer import TextTokenizer

Form = Literal["release", "omni", "thinker", "plain", "soundflow"]

MODEL_CONFIG = "model_config.yaml"
TOWER_CONFIG = "qwen25OmniConfig"
TOWER_FILES = ("audiointeraction_ChunkwisedEncoder.pth", "MiniOmni3_ChunkwisedEncoder.pth")
TOWER_FOLDER = "audio_tower"
_UNUSED = {
    "omni": ("thinker.visual.", "talker.", "token2wav."),
    "thinker": ("visual.",),
    "plain": NOT_OF_A_TOWER,
}


@dataclass(frozen=True)
class Opened:
    """A checkpoint of any form, ready to be read tensor by tensor.

    Attributes:
        made: names of stored tensors that no file has, see `soundflow.forms.joined_parts`.
    """

    form: Form
    folder: Path
    model: ModelConfig
    spec: StreamSpec
    tokenizer: TextTokenizer
    view: OurView
    facts: TrainingFacts
    made: tuple[str, ...] = ()

    @property
    def shapes(self) -> names.Shapes:
        return names.our_shapes(self.model, self.spec.tokens)


def recognise(folder: Path) -> Form:
    """The form of a folder, from its config files alone.

    Raises:
        UserError: if it is none of ours.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such checkpoint folder", "check the path")
    if (folder / MODEL_CONFIG).is_file():
        return "release"
    if (folder / SPEC).is_file():
        return "soundflow"
    kind = read_json(folder / CONFIG).get("model_type") if (folder / CONFIG).is_file() else None
    known: dict[object, Form] = {
        "qwen2_5_omni": "omni",
        "qwen2_5_omni_thinker": "thinker",
        "qwen2": "plain",
        "llama": "plain",
    }
    if kind not in known:
        raise UserError(
            f"{folder}: not a checkpoint that can be read (model_type {kind!r})",
            f"expected: {MODEL_CONFIG} (published release), {SPEC} (SoundFlow), or a "
            f"config.json of {', '.join(map(str, known))}: what computes as a Qwen2 does",
        )
    return known[kind]


def open_folder(folder: Path) -> Opened:
    """Opens a checkpoint of any form; every stored tensor is accounted for.

    Raises:
        UserError: naming what is missing, damaged, left over, or not to be run by this model.
    """
    form, made = recognise(folder), dict[str, StoredTensor]()
    if form == "soundflow":
        return _open_soundflow(folder)
    try:
        if form == "release":
            size, stored = _release(folder)
        elif form == "plain":
            size, stored, made = _plain(folder)
        else:
            size, stored = _thinker(folder, form)
    except ValueError as error:  # sizes that no model can have
        raise UserError(f"{folder}: {error}", "its config is damaged; fetch it again") from error
    note = read_json(folder / NOTE) if (folder / NOTE).is_file() else {}
    tokens = _token_table(folder, note, size.vocab_size)
    tokenizer = TextTokenizer.load(folder, tokens)
    held = sum(math.prod(tensor.shape) for tensor in stored.values())
    require_parameters(size.model, size.vocab_size, held, folder)
    shapes = names.our_shapes(size.model, tokens)
    view = match(
        folder, stored, _name_table(form, size.model, shapes), shapes, _UNUSED.get(form, ())
    )
    front_end = FrontEnd(n_mels=size.model.audio_encoder.mel_bins)
    spec = StreamSpec(tokenizer=tokenizer.fingerprint, tokens=tokens, front_end=front_end)
    if note:
        spec = replace(StreamSpec.from_json(note.get("spec", {})), tokens=tokens)
        require_tokenizer(spec, tokenizer, folder)
    facts = _foreign_facts(form, size.model)
    if note:
        facts = TrainingFacts.from_json(note.get("training"), spec, f"{folder / NOTE}: training")
    return Opened(form, folder, size.model, spec, tokenizer, view, facts, tuple(made))


def _foreign_facts(form: Form, model: ModelConfig) -> TrainingFacts:
    """What is known of weights that say nothing of their training."""
    positions = model.lm.max_positions
    if form == "release":
        return TrainingFacts(min(PUBLISHED_POSITIONS, positions), PUBLISHED_SYSTEM)
    return TrainingFacts(positions, decides=False)


def read_json(path: Path) -> dict[str, Any]:
    return read_object(path, absent="fetch the checkpoint again", damaged="fetch it again")


def _name_table(form: Form, model: ModelConfig, shapes: names.Shapes) -> names.NameTable:
    if form == "release":
        return names.release_names(model, shapes)
    table = names.thinker_names(shapes)
    return {"thinker." + k: v for k, v in table.items()} if form == "omni" else table


def _token_table(folder: Path, note: Mapping[str, Any], vocab_size: int) -> TokenTable:
    """The published ids, or those that a note of ours or a `token_table.json` gives."""
    file = folder / TABLE_FILE
    own = note.get("spec", {}).get("tokens") or (read_json(file) if file.is_file() else {})
    try:
        return TokenTable(**{**own, "vocab_size": vocab_size})
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{folder}: control tokens do not fit a vocabulary of {vocab_size}: {error}",
            f"give their ids in {TABLE_FILE}",
        ) from error


_Parts = tuple[sizes.Sizes, StoredTensors]


def _release(folder: Path) -> _Parts:
    audio_file = folder / TOWER_CONFIG / CONFIG
    audio = _nested(audio_file, read_json(audio_file), "thinker_config", "audio_config")
    file = folder / MODEL_CONFIG
    try:
        data = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{file}: cannot be read ({error})", "fetch it again") from error
    if not isinstance(data, dict):
        raise UserError(f"{file}: expected a mapping", "fetch it again")
    tower = sizes.tower_from(audio_file, audio, data.get("n_embd"))
    stored = from_safetensors(folder) | prefixed(names.TOWER, from_pth(_tower_file(folder)))
    return sizes.from_release(file, data, tower), stored


def _tower_file(folder: Path) -> Path:
    found = [folder / name for name in TOWER_FILES if (folder / name).is_file()]
    if len(found) != 1:
        what = f"{len(found)} of them are there" if found else "none is there"
        raise UserError(
            f"{folder}: expected the audio tower as {' or '.join(TOWER_FILES)}; {what}",
            "fetch the release again, or remove the one that does not belong to it",
        )
    return found[0]


def _thinker(folder: Path, form: Form) -> _Parts:
    file = folder / CONFIG
    data = read_json(file)
    thinker = _nested(file, data, "thinker_config") if form == "omni" else data
    stored = from_safetensors(folder)
    head = ("thinker." if form == "omni" else "") + "lm_head.weight"
    text = _nested(file, thinker, "text_config")
    lm, vocab_size = sizes.lm_from(file, text, tied=head not in stored)
    if lm.tied and not (text.get("tie_word_embeddings") or thinker.get("tie_word_embeddings")):
        raise UserError(
            f"{folder}: {head} is missing and the config does not tie it to the embedding",
            "a shard is missing; fetch the checkpoint again",
        )
    tower = sizes.tower_from(file, _nested(file, thinker, "audio_config"), lm.width)
    return sizes.Sizes(ModelConfig(tower, lm), vocab_size), stored


def _plain(folder: Path) -> tuple[sizes.Sizes, StoredTensors, dict[str, StoredTensor]]:
    """Sizes, all tensors, and those of them that had to be made."""
    audio_folder = folder / TOWER_FOLDER
    if not audio_folder.is_dir():
        raise UserError(
            f"{folder}: a language model without an audio tower",
            f"add a Qwen2_5OmniAudioEncoder or a Whisper as {TOWER_FOLDER}/",
        )
    file = folder / CONFIG
    data = read_json(file)
    lm, vocab_size = sizes.lm_from(file, data, tied=bool(data.get("tie_word_embeddings")))
    audio_file = audio_folder / CONFIG
    audio = read_json(audio_file)
    if audio.get("model_type") not in TOWER_KINDS:
        raise UserError(
            f"{audio_file}: model_type {audio.get('model_type')!r} is no audio tower of this model",
            f"expected: {' or '.join(TOWER_KINDS)}",
        )
    model = ModelConfig(sizes.tower_from(audio_file, audio, None), lm)
    made = zero_biases(lm, file) if data["model_type"] == "llama" else {}
    if audio.get("output_dim") != lm.width:
        made |= new_projection(model, audio_file)
    tower = tower_tensors(from_safetensors(audio_folder), audio)
    return sizes.Sizes(model, vocab_size), from_safetensors(folder) | tower | made, made


def _open_soundflow(folder: Path) -> Opened:
    model, facts, spec = read_facts(folder)
    shapes = names.our_shapes(model, spec.tokens)
    view = match(folder, from_safetensors(folder), names.our_names(shapes), shapes, ())
    tokenizer = TextTokenizer.load(folder, spec.tokens)
    require_tokenizer(spec, tokenizer, folder)
    return Opened("soundflow", folder, model, spec, tokenizer, view, facts)


def _nested(file: Path, data: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        inner = data.get(key)
        if not isinstance(inner, dict):
            raise UserError(f"{file}: {key} is missing", "fetch the checkpoint again")
        data = inner
    return cast(dict[str, Any], data)
