"""Writes the files of each checkpoint form."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import Qwen2_5OmniThinkerForConditionalGeneration
from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import (
    Qwen2_5OmniTextConfig,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniVisionEncoderConfig,
)

from soundflow.atomic import write_text
from soundflow.convert.write_shards import Target, write_pth, write_target
from soundflow.errors import UserError
from soundflow.forms import folders
from soundflow.forms import tensor_names as names
from soundflow.forms.model_configs import mrope_section, to_release
from soundflow.model.config import ModelConfig
from soundflow.model.decoder import qwen2_config, qwen2_sizes
from soundflow.model.encoder import tower_config
from soundflow.model.stored_tensors import from_safetensors
from soundflow.model.weight_files import INDEX, write_tensors
from soundflow.model.weights import CONFIG, config_json
from soundflow.text.presets import NOTE, SPEC

_PT = {"format": "pt"}
_STAND_IN = {
    "depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2,
    "fullatt_block_indexes": [0],
}  # fmt: skip


def write_soundflow(folder: Path, source: folders.Opened, target: Target, limit_bytes: int) -> None:
    spec = source.spec
    metadata = {**_PT, "spec_fingerprint": spec.fingerprint}
    write_target(folder, target, names.our_names(source.shapes), limit_bytes, metadata)
    _json(folder / SPEC, {"fingerprint": spec.fingerprint, "spec": spec.to_json()})
    _json(folder / CONFIG, config_json(source.model, source.facts))


def write_release(folder: Path, source: folders.Opened, target: Target, limit_bytes: int) -> None:
    """The published layout, in every file that its own code and model card name."""
    table = names.release_names(source.model, source.shapes)
    lm = {name: ours for name, ours in table.items() if not name.startswith(names.TOWER)}
    write_target(folder, target, lm, limit_bytes, _PT, always_index=True)
    write_pth(folder / folders.TOWER_FILES[0], target, names.tower_only(source.shapes))
    vocab_size = source.spec.tokens.vocab_size
    config = to_release(source.model, vocab_size, source.folder.resolve().name)
    write_text(folder / folders.MODEL_CONFIG, yaml.safe_dump(config, sort_keys=False))
    omni = {
        "architectures": ["Qwen2_5OmniModel"],
        "model_type": "qwen2_5_omni",
        "enable_audio_output": False,
        "thinker_config": _thinker_config(source, _STAND_IN).to_dict(),
    }
    (folder / folders.TOWER_CONFIG).mkdir()
    _json(folder / folders.TOWER_CONFIG / CONFIG, omni)
    qwen2 = qwen2_config(source.model.lm, vocab_size).to_dict()
    _json(folder / CONFIG, {"architectures": ["Qwen2ForCausalLM"], **qwen2})
    made = {"converted_from": source.form, "system_prompt": source.facts.system}
    write_text(folder / "hyperparameters.yaml", yaml.safe_dump(made))


def write_plain(folder: Path, source: folders.Opened, target: Target, limit_bytes: int) -> None:
    """``AutoModelForCausalLM.from_pretrained(folder)`` reads the language model; the audio tower
    is in ``audio_tower/``."""
    write_target(folder, target, names.plain_names(source.shapes), limit_bytes, _PT)
    config = qwen2_config(source.model.lm, source.spec.tokens.vocab_size)
    config.architectures = ["Qwen2ForCausalLM"]
    config.save_pretrained(folder)
    tower = folder / folders.TOWER_FOLDER
    tower.mkdir()
    write_target(tower, target, names.tower_only(source.shapes), limit_bytes, _PT)
    audio = tower_config(source.model.audio_encoder, source.model.lm.width)
    audio.architectures = ["Qwen2_5OmniAudioEncoder"]
    audio.save_pretrained(tower)


def write_thinker(
    folder: Path, source: folders.Opened, target: Target, limit_bytes: int, base: Path | None
) -> str:
    """Qwen2.5-Omni's Thinker. Returns a sentence about its vision weights.

    Our model has none. They are taken from ``base``, the checkpoint that training started from;
    without one, they are zeros of the smallest size, so that transformers finds every key.
    """
    table = names.thinker_names(source.shapes)
    write_target(folder, target, table, limit_bytes, _PT, always_index=True)
    if base is None:
        config = _thinker_config(source, _STAND_IN)
        tensors = _zero_vision(config)
        words = f"{len(tensors)} vision tensors of zeros: images are not supported (no base=)"
    else:
        vision, tensors = _vision_of(base, source.model)
        config = _thinker_config(source, vision)
        words = f"{len(tensors)} vision tensors taken from {base}"
    _append(folder, tensors)
    config.architectures = ["Qwen2_5OmniThinkerForConditionalGeneration"]
    config.save_pretrained(folder)
    return words


def write_vocabulary(folder: Path, source: folders.Opened, into: folders.Form) -> None:
    """The tokenizer and, for other forms than ours, the metadata that they cannot hold."""
    source.tokenizer.save(folder)
    if into == "soundflow":
        return
    _json(folder / NOTE, {"spec": source.spec.to_json(), "training": source.facts.to_json()})
    theirs = source.folder / "tokenizer_config.json"
    if theirs.is_file():
        shutil.copyfile(theirs, folder / theirs.name)
    else:
        _json(folder / theirs.name, {"add_bos_token": False, "tokenizer_class": "Qwen2Tokenizer"})


def _thinker_config(source: folders.Opened, vision: dict[str, Any]) -> Qwen2_5OmniThinkerConfig:
    model, lm, tokens = source.model, source.model.lm, source.spec.tokens
    sizes = qwen2_sizes(lm, tokens.vocab_size)
    sizes["rope_parameters"]["mrope_section"] = mrope_section(lm)
    text = Qwen2_5OmniTextConfig(**sizes)
    vision_config = Qwen2_5OmniVisionEncoderConfig(**{**vision, "out_hidden_size": lm.width})
    config = Qwen2_5OmniThinkerConfig(
        audio_config=tower_config(model.audio_encoder, lm.width).to_dict(),
        text_config=text.to_dict(),
        vision_config=vision_config.to_dict(),
        audio_token_index=tokens.audio_pad,
        audio_start_token_id=tokens.audio_begin,
        audio_end_token_id=tokens.audio_end,
    )
    config.tie_word_embeddings = lm.tied
    return config


def _zero_vision(config: Qwen2_5OmniThinkerConfig) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        visual = Qwen2_5OmniThinkerForConditionalGeneration(config).model.visual
    return {f"visual.{k}": torch.zeros(v.shape) for k, v in visual.state_dict().items()}


def _vision_of(base: Path, model: ModelConfig) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Vision config and tensors of a Thinker (or a whole Omni) that fits ``model``."""
    form = folders.recognise(base)
    if form not in ("thinker", "omni"):
        raise UserError(f"base={base}: is a {form} checkpoint", "name a Qwen2.5-Omni folder")
    data = folders.read_json(base / CONFIG)
    thinker = data["thinker_config"] if form == "omni" else data
    width = thinker.get("text_config", {}).get("hidden_size")
    if width != model.lm.width:
        raise UserError(
            f"base={base}: hidden_size {width}, the model has {model.lm.width}",
            "name the checkpoint that training started from",
        )
    prefix = "thinker.visual." if form == "omni" else "visual."
    stored = from_safetensors(base)
    tensors = {
        k.removeprefix("thinker."): t.read() for k, t in stored.items() if k.startswith(prefix)
    }
    return thinker["vision_config"], tensors


def _append(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Adds one more shard to the index."""
    file = "model-visual.safetensors"
    write_tensors(folder / file, tensors, _PT)
    index_file = folder / INDEX
    index = folders.read_json(index_file)
    index["metadata"]["total_size"] += sum(t.nbytes for t in tensors.values())
    index["weight_map"] |= dict.fromkeys(tensors, file)
    _json(index_file, index)


def _json(path: Path, data: Any) -> None:
    write_text(path, json.dumps(data, indent=1, sort_keys=True, default=str))
