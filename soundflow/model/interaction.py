"""`AudioInteractionModel`: audio tower and language model, for training and live decoding alike.

::

    mel (n, 128, 40) ─encode─▶ slots (n, 10, d) ─┐
    ids (B, L) ──────────────────────────────────┴─embed─▶ (B, L, d) ─hidden─▶ (B, L, d)
                                                                                  │ logits
                                                                                  ▼ where asked
                                                                           (..., vocabulary)

Live decoding calls these one by one; training calls `forward` with a packed row of streams.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from soundflow.model.attention import Segments
from soundflow.model.config import ModelConfig
from soundflow.model.decoder import (
    build_lm,
    hidden_states,
    new_cache,
    packed_hidden_states,
    rotary_table,
)
from soundflow.model.encoder import (
    Block,
    build_tower,
    encode_chunks,
    position_table,
    tower_block,
    tower_states,
)
from soundflow.protocol.tokens import TokenTable


class AudioInteractionModel(nn.Module):
    """The audio tower and the language model behind one set of calls.

    State-dict keys keep transformers' names below ``encoder.`` and ``lm.``.

    Args:
        config: sizes.
        tokens: gives the vocabulary size and the ids whose embedding an encoder output replaces.
    """

    def __init__(self, config: ModelConfig, tokens: TokenTable) -> None:
        super().__init__()
        self.config = config
        self.tokens = tokens
        self.encoder = build_tower(config.audio_encoder, config.lm.width)
        self.lm = build_lm(config.lm, tokens.vocab_size)
        self._tower_block: Block = tower_block

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def encode(self, mel: Tensor) -> Tensor:
        """(n, n_mels, frames) float32 -> (n, slots, d). Every chunk alone."""
        return encode_chunks(self.encoder, mel, self._tower_block)

    def encode_states(self, mel: Tensor) -> Tensor:
        """What the tower has before its output projection: the same shape, of its own width."""
        return tower_states(self.encoder, mel, self._tower_block)

    def embed(self, ids: Tensor, slots: Tensor | None = None) -> Tensor:
        """Token embeddings with the audio slots filled in.

        Args:
            ids: (B, L) int64.
            slots: (n_slots, d) or (n, slots, d) in the order of the PAD and AUDIO_PAD positions of
                the rows, first row first; None where ``ids`` holds none.

        Returns:
            (B, L, d)

        Raises:
            ValueError: if the number of slots and of such positions differ.
        """
        embeds: Tensor = self.lm.model.embed_tokens(ids)
        is_slot = (ids == self.tokens.pad) | (ids == self.tokens.audio_pad)
        found, given = int(is_slot.sum()), 0 if slots is None else slots.shape[:-1].numel()
        if found != given:
            raise ValueError(f"{given} encoder outputs for {found} audio slots")
        if slots is None:
            return embeds
        return embeds.masked_scatter(is_slot.unsqueeze(-1), slots.to(embeds.dtype))

    def hidden(
        self,
        embeds: Tensor,
        position_ids: Tensor | None = None,
        cache: DynamicCache | None = None,
    ) -> Tensor:
        """(B, L, d) -> (B, L, d); see `soundflow.model.decoder.hidden_states`."""
        return hidden_states(self.lm, embeds, position_ids, cache)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., d) -> (..., vocabulary) float32. Costly: ask for the positions that need it."""
        out: Tensor = self.lm.lm_head(hidden)
        return out.float()

    def new_cache(self) -> DynamicCache:
        return new_cache(self.lm)

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        segments: Segments,
        slots: Tensor,
        mel: Tensor,
        states: Tensor | None = None,
    ) -> Tensor:
        """Hidden states of a packed row, the training path: (L, d). Asks the device nothing.

        The tower always runs, on a chunk of zeros where the row has no audio: every rank then
        reduces the same gradients, with or without audio in its rows.

        Args:
            ids: (L,) int64.
            positions: (L,) int64, from 0 in each stream.
            slots: (n_slots,) int64: the positions of the encoder outputs, in the order of ``mel``.
            mel: (n, n_mels, frames) float32: the chunks of all streams.
            states: (n, slots, width): what `encode_states` made of them before; then there is no
                ``mel``.
        """
        embeds: Tensor = self.lm.model.embed_tokens(ids)
        if torch.is_autocast_enabled(embeds.device.type):  # it leaves a table of vectors alone
            embeds = embeds.to(torch.get_autocast_dtype(embeds.device.type))
        if states is not None:
            projection = self.encoder.proj
            encoded = projection(states.to(projection.weight.dtype)).flatten(0, 1)
            embeds = embeds.index_copy(0, slots, encoded.to(embeds.dtype))
        elif len(mel):
            encoded = self.encode(mel).flatten(0, 1).to(embeds.dtype)
            embeds = embeds.index_copy(0, slots, encoded)
        else:
            unheard = self.encode(mel.new_zeros(1, *mel.shape[1:]))
            embeds = embeds + 0.0 * unheard.sum()
        return packed_hidden_states(self.lm, embeds, positions, segments)

    def recompute_activations(self, share: float = 1.0) -> None:
        """From here on, training keeps only the input of some layers, and computes the rest again
        in the backward pass: less memory for up to a third more time.

        Args:
            share: of the layers of the language model, and of the tower if they train: the last.
        """
        for part, layers in ((self.encoder, self.encoder.layers), (self.lm, self.lm.model.layers)):
            part.activation_checkpointing_enable({"use_reentrant": False})
            for layer in layers[: len(layers) - round(share * len(layers))]:
                layer.gradient_checkpointing = False

    def compile_layers(self) -> None:
        """From here on, what lies between two matrix products of a layer is one kernel:
        `torch.compile`, once for all layers and all lengths of rows. A layer is one call, forward
        and backward: called in parts, a fast device waits for Python.
        """
        # Kept or recomputed, in training or measured, of one token or more, with a gradient to its
        # input or without: each is compiled by itself, and what is beyond the limit is not.
        for layer in self.lm.model.layers:
            layer.compile(dynamic=True, recompile_limit=32)
        self._tower_block = torch.compile(tower_block, dynamic=True)

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())


def empty_model(config: ModelConfig, tokens: TokenTable) -> AudioInteractionModel:
    """A model whose parameters take no memory yet: they are on the meta device, to be assigned.

    The tables of positions, which no checkpoint stores, are there.
    """
    with torch.device("meta"):
        model = AudioInteractionModel(config, tokens)
    model.encoder.positional_embedding = position_table(config.audio_encoder)
    model.lm.model.rotary_emb = rotary_table(model.lm)
    return model


def assign(model: AudioInteractionModel, name: str, value: Tensor) -> None:
    """Gives the parameter ``name`` the memory of ``value``; a tied matrix is one for both layers.

    Raises:
        ValueError: if the shapes differ.
    """
    where, _, leaf = name.rpartition(".")
    before = model.get_parameter(name)
    if before.shape != value.shape:
        raise ValueError(f"{name}: {tuple(value.shape)} for {tuple(before.shape)}")
    parameter = nn.Parameter(value, requires_grad=before.requires_grad)
    setattr(model.get_submodule(where), leaf, parameter)
    if model.config.lm.tied and model.lm.model.embed_tokens.weight is parameter:
        model.lm.lm_head.weight = parameter
