"""Forced alignment by any local CTC model of transformers (wav2vec 2.0, MMS, HuBERT, ...).

::

    samples ─▶ model ─▶ log-probabilities of every frame ─┐
    words ─▶ letters, a blank between any two ────────────┴▶ best path ─▶ spikes ─▶ ends of words
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_build.records import Word
from data_build.speech.model_folder import model_key, require_model_folder
from data_build.speech.rewriting.rewriter import RuleRewriter
from data_build.speech.word_times import Bools, Float32, spoken_units
from soundflow.audio.level import audible_blocks, block_power, db
from soundflow.errors import UserError
from soundflow.protocol.timebase import SAMPLE_RATE_HZ, to_seconds

_VERSION = 3  # raise when the same model gives other times
Log = npt.NDArray[np.float64]
_BLOCK_S = 0.01
# Between the spikes of words further apart than this there may be a pause: a silence this long.
_SPIKES_OF_A_PAUSE_S, _LEAST_PAUSE_S = 0.25, 0.08
_LONGEST_ENDING_S = 0.5  # behind the last spike of a recording
# A pause is as loud as the room: over 50 ms within 5 dB of the level that the quietest twentieth
# keeps below, unless that is less than 15 dB below the loudest twentieth: then there is no pause.
# (Chosen on English, German and Spanish words in room noise, tests/benchmarks/bench_alignment.py.)
_ROOM_BLOCKS, _ROOM_DB, _LEAST_RANGE_DB = 5, 5.0, 15.0
Ids = npt.NDArray[np.int64]


class CtcAligner:
    """A model folder, on the CPU, loaded at the first use.

    Args:
        folder: what ``save_pretrained`` wrote, with the processor's files; nothing is fetched.

    Raises:
        UserError: if the folder is not there, or transformers cannot load it.
    """

    def __init__(self, folder: str) -> None:
        require_model_folder(folder, "a CTC model and its processor")
        self._folder = folder
        self._rewriter = RuleRewriter()
        self._loaded: tuple[Any, Any] | None = None

    @cached_property
    def id(self) -> str:
        folder = Path(self._folder)
        return f"ctc-{folder.name}-{model_key(folder)}-v{_VERSION}"

    def align(self, samples: Float32, text: str, language: str) -> tuple[Word, ...] | None:
        units = spoken_units(text, language)
        letters = [self._letters(unit, language) for unit in units]
        if not units or not len(samples):
            return None
        scores, blank, between = self._scores(samples)
        frame_s = to_seconds(len(samples)) / len(scores)
        return timed_words(units, letters, scores, blank, between, frame_s, samples)

    def _letters(self, unit: str, language: str) -> list[int]:
        """Ids of a word as it is spoken, in the case that the vocabulary has; [] if it has none."""
        tokenizer = self._parts()[1].tokenizer
        said = re.sub(r"[^\w' ]", "", self._rewriter.rewrite(unit, language).text).strip()
        for form in (said, said.lower(), said.upper()):
            ids = [
                i
                for word in form.split()
                for i in tokenizer(word, add_special_tokens=False).input_ids
            ]
            if ids and tokenizer.unk_token_id not in ids:
                return [int(i) for i in ids]
        return []

    def _scores(self, samples: Float32) -> tuple[Log, int, int | None]:
        """(frames, vocabulary) log-probabilities, the id of the blank and of the space."""
        import torch

        model, processor = self._parts()
        features = processor(samples, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**features).logits[0].double()
        scores = torch.log_softmax(logits, -1).numpy()
        delimiter = getattr(processor.tokenizer, "word_delimiter_token_id", None)
        return scores, int(model.config.pad_token_id), delimiter

    def _parts(self) -> tuple[Any, Any]:
        """Model and processor."""
        if self._loaded is None:
            from transformers import AutoModelForCTC, AutoProcessor

            try:
                model = AutoModelForCTC.from_pretrained(self._folder, local_files_only=True).eval()
                processor = AutoProcessor.from_pretrained(self._folder, local_files_only=True)
            except (OSError, ValueError, KeyError) as error:
                raise UserError(
                    f"{self._folder}: no CTC model: {' '.join(str(error).split())[:200]}",
                    "give a folder with a CTC model, its tokenizer and feature extractor",
                ) from error
            self._loaded = model, processor
        return self._loaded


def timed_words(
    units: Sequence[str],
    labels: Sequence[Sequence[int]],
    scores: Log,
    blank: int,
    between: int | None,
    frame_s: float,
    samples: Float32,
) -> tuple[Word, ...] | None:
    """The words of a text, by the best path through the scores of its labels.

    Args:
        labels: ids of each of the ``units``.
        scores: (frames, vocabulary) log-probabilities.
        between: the id of a boundary of words; None: the model has none.

    Returns:
        None if a unit has no label, or there are fewer frames than a path needs.
    """
    if not all(labels):
        return None
    path, owners = list[int](), list[int]()  # -1 owns what lies between two words
    for number, ids in enumerate(labels):
        if number and between is not None:
            path, owners = [*path, between], [*owners, -1]
        path, owners = [*path, *ids], owners + [number] * len(ids)
    spans = best_path(scores, np.asarray(path), blank)
    if spans is None:
        return None
    spikes = [spans[np.asarray(owners) == number] * frame_s for number in range(len(units))]
    starts_s = [float(of_word[0, 0]) for of_word in spikes]
    last_spikes_s = [float(of_word[-1, 1]) for of_word in spikes]
    ends_s = word_ends(starts_s, last_spikes_s, spoken_blocks(samples))
    timed, at_s, length_s = list[Word](), 0.0, to_seconds(len(samples))
    for unit, start_s, end_s in zip(units, starts_s, ends_s, strict=True):
        start_s, at_s = max(start_s, at_s), min(end_s, length_s)
        timed.append(Word(unit, round(start_s, 3), round(at_s, 3)))
    return tuple(timed)


def best_path(scores: Log, labels: Ids, blank: int) -> Ids | None:
    """First and one past the last frame of every label on the best path (Graves et al. 2006).

    Args:
        scores: (frames, vocabulary) log-probabilities.
        labels: (n,) ids in order, n > 0; a blank may lie before, between and behind them, and has
            to lie between two equal ones.

    Returns:
        (n, 2) frames; None if there are fewer frames than a path needs.
    """
    states = np.full(2 * len(labels) + 1, blank)
    states[1::2] = labels
    skips = np.zeros(len(states), np.bool_)  # whether the blank before a state may be left out
    skips[3::2] = labels[1:] != labels[:-1]
    best = np.full(len(states), -np.inf)
    best[:2] = scores[0, states[:2]]
    steps = np.zeros((len(scores), len(states)), np.int8)  # how many states back a path came from
    for frame in range(1, len(scores)):
        options = np.full((3, len(states)), -np.inf)
        options[0] = best
        options[1, 1:] = best[:-1]
        options[2, 2:] = np.where(skips[2:], best[:-2], -np.inf)
        steps[frame] = options.argmax(0)
        best = options.max(0) + scores[frame, states]
    at = len(states) - 1 if best[-1] >= best[-2] else len(states) - 2
    if not np.isfinite(best[at]):
        return None
    path = np.zeros(len(scores), np.int64)
    for frame in reversed(range(len(scores))):
        path[frame] = at
        at -= int(steps[frame, at])
    found = [np.flatnonzero(path == 2 * number + 1) for number in range(len(labels))]
    return np.asarray([(frames[0], frames[-1] + 1) for frames in found])


def word_ends(
    first_spikes_s: Sequence[float], last_spikes_s: Sequence[float], spoken: Bools
) -> list[float]:
    """Where words end whose labels have spikes: a CTC model tells that a sound is there, not its
    length.

    Before another word half way between the last spike of the one and the first of the other (of
    spoken digits joined without a pause the median error is -1 ms, with nothing fitted:
    tests/benchmarks/bench_alignment.py); before a pause where that begins.

    Args:
        first_spikes_s, last_spikes_s: of every word, the start and the end of those labels.
        spoken: of the recording, as `spoken_blocks` gives it.
    """
    # Behind the recording there is silence.
    silent = np.zeros(round(_LEAST_PAUSE_S / _BLOCK_S), np.bool_)
    spoken = np.concatenate([spoken, silent])
    ends_s = list[float]()
    for spike_s, following_s in zip_longest(last_spikes_s, first_spikes_s[1:]):
        until_s = spike_s + _LONGEST_ENDING_S if following_s is None else following_s
        begins_s, length_s = _longest_pause(spoken, spike_s, until_s)
        if until_s - spike_s > _SPIKES_OF_A_PAUSE_S and length_s >= _LEAST_PAUSE_S:
            ends_s.append(begins_s)
        else:
            ends_s.append(until_s if following_s is None else (spike_s + following_s) / 2)
    return ends_s


def spoken_blocks(samples: Float32) -> Bools:
    """Whether each 10 ms of (n,) samples is more than silence and the noise of the room."""
    power = block_power(samples)
    near = np.pad(power, _ROOM_BLOCKS // 2, mode="edge")
    level_db = db(np.convolve(near, np.full(_ROOM_BLOCKS, 1 / _ROOM_BLOCKS), "valid"))
    room_db, loud_db = np.percentile(level_db, (5, 95))
    pause_db = min(room_db + _ROOM_DB, loud_db - _LEAST_RANGE_DB)
    return np.asarray(audible_blocks(samples) & (level_db > pause_db))


def _longest_pause(spoken: Bools, from_s: float, to_s: float) -> tuple[float, float]:
    """When the longest pause within a span begins, and how long it is, in seconds."""
    first = round(from_s / _BLOCK_S)
    loud = np.flatnonzero(np.concatenate([[True], spoken[first : round(to_s / _BLOCK_S)], [True]]))
    longest = int(np.diff(loud).argmax())
    return (first + int(loud[longest])) * _BLOCK_S, int(np.diff(loud)[longest] - 1) * _BLOCK_S
