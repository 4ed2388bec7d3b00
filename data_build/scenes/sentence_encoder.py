"""Ranks clips by meaning with a small sentence-embedding model (ONNX), without torch.

Any model of the Sentence-BERT kind (Reimers & Gurevych 2019) works: token embeddings are averaged
over the attention mask and normalised. The files are given by path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from data_build.scenes.yamnet import onnx_session
from soundflow.errors import UserError


@dataclass(frozen=True)
class SentenceEncoderConfig:
    """``model`` an ONNX file, ``tokenizer`` the tokenizer.json that belongs to it."""

    model: str
    tokenizer: str
    max_tokens: int = 128


class SentenceEncoder:
    """A `Reranker`: cosine similarity of sentence embeddings."""

    def __init__(self, config: SentenceEncoderConfig) -> None:
        self._config = config

    def __reduce__(self) -> tuple[type[SentenceEncoder], tuple[SentenceEncoderConfig]]:
        return type(self), (self._config,)

    def scores(self, query: str, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n,) float32 similarities of ``texts`` to the query, in [-1, 1]."""
        embedded = self.embed([query, *texts])
        similar: npt.NDArray[np.float32] = embedded[1:] @ embedded[0]
        return similar

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, d) float32 unit vectors.

        Raises:
            UserError: if onnxruntime, the model or the tokenizer cannot be had.
        """
        encoded = self._tokenizer.encode_batch(list(texts))
        feeds = {
            "input_ids": np.array([e.ids for e in encoded], np.int64),
            "attention_mask": np.array([e.attention_mask for e in encoded], np.int64),
            "token_type_ids": np.array([e.type_ids for e in encoded], np.int64),
        }
        wanted = {entry.name for entry in self._session.get_inputs()}
        hidden = self._session.run(None, {k: v for k, v in feeds.items() if k in wanted})[0]
        mask = feeds["attention_mask"][..., None].astype(np.float32)
        mean = (hidden * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1.0)
        unit: npt.NDArray[np.float32] = mean / np.maximum(
            np.linalg.norm(mean, axis=1, keepdims=True), 1e-9
        )
        return unit.astype(np.float32)

    @cached_property
    def _session(self) -> Any:
        return onnx_session(self._config.model)

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(self._config.tokenizer)
        except Exception as error:  # tokenizers raises a bare Exception
            raise UserError(
                f"{self._config.tokenizer}: not a tokenizer.json ({error})", "check the path"
            ) from error
        tokenizer.enable_truncation(self._config.max_tokens)
        tokenizer.enable_padding()
        return tokenizer
