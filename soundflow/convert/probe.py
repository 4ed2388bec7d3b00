"""Runs a stored checkpoint on a small probe, layer by layer, in the code of its own form.

Two forms of one model have to give the same logits. Each is run by other code: a release by
litgpt's arithmetic as its config describes it, a Thinker by transformers' Thinker layers, a plain
folder and ours by Qwen2's. Only one layer is in memory at a time, so that a checkpoint of any size
can be checked on the machine that converts it.

::

    probe mel (3, 128, 40) ─tower─▶ slots ┐
    probe ids ────────────────embedding───┴─▶ layer 0 ─▶ ... ─▶ norm ─▶ head, at a few positions
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2RotaryEmbedding
from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import Qwen2_5OmniTextConfig
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import (
    Qwen2_5OmniDecoderLayer,
    Qwen2_5OmniRotaryEmbedding,
)

from soundflow.forms import tensor_names as names
from soundflow.forms.folders import Opened
from soundflow.forms.model_configs import mrope_section
from soundflow.model.decoder import qwen2_config
from soundflow.model.encoder import build_tower, encode_chunks, encode_chunks_stock
from soundflow.model.weights import TIED_KEY
from soundflow.protocol import layout

PROBE_CHUNKS = 3
HEAD_ROWS = 16_384

Layer = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True)
class Probe:
    """The input of a probe. ids (L,) int64, mel (chunks, n_mels, frames), read: positions."""

    ids: Tensor
    mel: Tensor
    read: tuple[int, ...]


def make_probe(source: Opened) -> Probe:
    """Three chunks of noise, a reply and a silence; the same for every checkpoint of a spec."""
    spec = source.spec
    table, slots = spec.tokens, spec.time.slots_per_chunk
    text = source.tokenizer.encode("the quick brown fox")
    stream = layout.online_stream(table, slots, text, PROBE_CHUNKS, {1: (text, "happy")})
    shape = (PROBE_CHUNKS, spec.front_end.n_mels, spec.time.frames_per_chunk)
    mel = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    read = tuple(i - 1 for i, role in enumerate(stream.roles) if role != layout.Role.CONTEXT)
    return Probe(torch.tensor(stream.ids), mel, read)


@torch.no_grad()
def probe_logits(source: Opened, probe: Probe) -> Tensor:
    """(len(read), vocabulary) float32, computed in float32."""
    hidden = _embed(source, probe)
    for index in range(source.model.lm.layers):
        hidden = _layer(source, index)(index, hidden)
    hidden = _rms_norm(hidden, _get(source, "lm.model.norm.weight"), source.model.lm.norm_eps)
    return _head(source, hidden[list(probe.read)])


def _embed(source: Opened, probe: Probe) -> Tensor:
    """(L, d), the encoder outputs in their slots."""
    tower = build_tower(source.model.audio_encoder, source.model.lm.width).eval()
    state = {k.removeprefix("encoder."): _get(source, k) for k in _tower_keys(source)}
    tower.load_state_dict(state)
    encode = encode_chunks if source.form == "soundflow" else encode_chunks_stock
    slots = encode(tower, probe.mel).flatten(0, 1)
    rows = source.view.read(names.EMBEDDING)[probe.ids].float()
    rows[probe.ids == source.spec.tokens.pad] = slots
    return rows


def _layer(source: Opened, index: int) -> Layer:
    if source.form == "release":
        return _release_layer(source)
    lm = source.model.lm
    config = qwen2_config(lm, source.spec.tokens.vocab_size)
    kind: type[nn.Module] = Qwen2DecoderLayer
    if source.form in ("thinker", "omni"):
        rope = {
            "rope_type": "default",
            "rope_theta": lm.rope_theta,
            "mrope_section": mrope_section(lm),
        }
        config = Qwen2_5OmniTextConfig(**{**config.to_dict(), "rope_parameters": rope})
        config._attn_implementation = "sdpa"
        kind = Qwen2_5OmniDecoderLayer
    return _stock_layer(source, kind, config, index)


def _stock_layer(source: Opened, kind: type[nn.Module], config: object, index: int) -> Layer:
    with torch.device("meta"):
        layer = kind(config, index)
    prefix = f"lm.model.layers.{index}."
    layer.load_state_dict({k: _get(source, prefix + k) for k in layer.state_dict()}, assign=True)
    grids = 3 if kind is Qwen2_5OmniDecoderLayer else 1
    rotary_type = Qwen2_5OmniRotaryEmbedding if grids == 3 else Qwen2RotaryEmbedding

    def run(_: int, hidden: Tensor) -> Tensor:
        positions = torch.arange(len(hidden))[None]
        where = positions[None].expand(3, -1, -1) if grids == 3 else positions
        rotary = rotary_type(config)(hidden[None], where)
        out = layer.eval()(hidden[None], attention_mask=None, position_embeddings=rotary)
        batch: Tensor = out[0] if isinstance(out, tuple) else out
        return batch[0]

    return run


def _release_layer(source: Opened) -> Layer:
    """One block of litgpt's GPT: fused query-key-value, grouped queries, SwiGLU."""
    lm = source.model.lm
    size = lm.width // lm.heads
    group = lm.heads // lm.kv_heads

    def run(index: int, x: Tensor) -> Tensor:
        def get(name: str) -> Tensor:
            return source.view.stored[f"transformer.h.{index}.{name}"].read().float()

        normed = _rms_norm(x, get("norm_1.weight"), lm.norm_eps)
        qkv = functional.linear(normed, get("attn.qkv.weight"), get("attn.qkv.bias"))
        rows = [lm.heads * size, lm.kv_heads * size, lm.kv_heads * size]
        q, k, v = torch.split(qkv, rows, dim=-1)
        q, k, v = (t.view(len(x), -1, size).transpose(0, 1) for t in (q, k, v))
        q, k = _rotate(q, lm.rope_theta), _rotate(k, lm.rope_theta)
        k, v = k.repeat_interleave(group, dim=0), v.repeat_interleave(group, dim=0)
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + attended.transpose(0, 1).reshape(len(x), -1) @ get("attn.proj.weight").T
        normed = _rms_norm(x, get("norm_2.weight"), lm.norm_eps)
        gate = functional.silu(normed @ get("mlp.fc_1.weight").T)
        return x + (gate * (normed @ get("mlp.fc_2.weight").T)) @ get("mlp.proj.weight").T

    return run


def _rotate(x: Tensor, theta: float) -> Tensor:
    """Rotary positions, halves layout: (heads, L, size) -> the same."""
    size = x.shape[-1]
    frequency = theta ** (-torch.arange(0, size, 2).float() / size)
    angle = torch.arange(x.shape[1]).float()[:, None] * frequency
    cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return functional.rms_norm(x, (x.shape[-1],), weight, eps)


def _head(source: Opened, hidden: Tensor) -> Tensor:
    """(n, d) -> (n, vocabulary), a block of rows at a time."""
    weight = source.view.read(names.EMBEDDING if source.model.lm.tied else TIED_KEY)
    return torch.cat([hidden @ rows.float().T for rows in torch.split(weight, HEAD_ROWS)], dim=1)


def _get(source: Opened, name: str) -> Tensor:
    return source.view.read(name).float()


def _tower_keys(source: Opened) -> list[str]:
    return [name for name in source.view if name.startswith("encoder.")]
