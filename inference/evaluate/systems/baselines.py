"""Systems without a model, with scores that theory predicts (timing protocol 1.8).

::

    never            recall 0, no false trigger
    always           recall 1, everything else false
    random           chance level at a given rate of replies
    silence timer    replies whenever sound is followed by silence: what a trained model must beat
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic

import numpy as np
import numpy.typing as npt

from inference.evaluate.outcome import Failure, Outcome, TimedReply
from inference.evaluate.task import Item, ReferenceT_contra
from soundflow.audio.level import SILENT_DB, block_power, db
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Baseline(Generic[ReferenceT_contra]):
    """A system whose outcome is a plain function of the item."""

    name: str
    answer: Callable[[Item[ReferenceT_contra]], Outcome]

    def run(self, items: Sequence[Item[ReferenceT_contra]]) -> Iterator[tuple[str, Outcome]]:
        for item in items:
            try:
                yield item.id, self.answer(item)
            except UserError as error:
                yield item.id, Outcome(failure=Failure("unreadable audio", error.message))


def never() -> Baseline[object]:
    return Baseline("never", lambda item: Outcome())


def always(time: TimeBase) -> Baseline[object]:
    """A reply after every chunk."""
    return Baseline(
        "always", lambda item: after_chunks(range(time.chunks_in(item.n_samples)), time)
    )


def random(time: TimeBase, rate: float, seed: int) -> Baseline[object]:
    """A reply after each chunk with probability ``rate``, from (seed, item id)."""

    def answer(item: Item[object]) -> Outcome:
        digest = hashlib.sha256(f"{seed}:{item.id}".encode()).digest()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
        drawn = rng.random(time.chunks_in(item.n_samples)) < rate
        return after_chunks(np.flatnonzero(drawn).tolist(), time)

    return Baseline("random", answer)


def listening(name: str, answer: Callable[[Float32], Outcome]) -> Baseline[object]:
    """A baseline that hears the audio, (n,) float32 in [-1, 1], as a whole."""
    return Baseline(name, lambda item: answer(audio_of(item)))


def audio_of(item: Item[object]) -> Float32:
    """All samples of an item, and the silence after it.

    Raises:
        UserError: if they cannot be read.
    """
    samples = np.concatenate([np.zeros(0, np.float32), *item.open().blocks])
    return np.pad(samples, (0, max(0, item.n_samples - len(samples))))


def after_chunks(chunks: Iterable[int], time: TimeBase) -> Outcome:
    """A reply without words after each of these chunks."""
    return Outcome(tuple(TimedReply(time.decision_time_samples(c)) for c in chunks))


@dataclass(frozen=True)
class SilenceTimer:
    """Speaks once when at least ``sound_s`` of sound is followed by ``silence_s`` of silence.

    A slot is sound when its level is ``margin_db`` above the floor: the 10th percentile of the
    levels of the last ``floor_s`` seconds, so that steady noise counts as silence.
    """

    time: TimeBase = field(repr=False)
    margin_db: float = 9.0
    silence_s: float = 0.4
    sound_s: float = 0.2
    floor_s: float = 5.0

    def __post_init__(self) -> None:
        if min(self.margin_db, self.silence_s, self.sound_s, self.floor_s) <= 0:
            raise ValueError(f"every setting must be positive, got {self}")

    def __call__(self, audio: Float32) -> Outcome:
        """The replies to ``audio``, (n,) float32 in [-1, 1]."""
        time = self.time
        levels = slot_levels_db(audio, time)
        if not levels.size:
            return Outcome()
        slot_s = time.slot_samples / time.sample_rate_hz
        sound = levels > self._floor(levels, round(self.floor_s / slot_s)) + self.margin_db
        at = pauses(sound, round(self.sound_s / slot_s), round(self.silence_s / slot_s))
        # Like the model it may only speak at the end of a chunk.
        return after_chunks(sorted({s // time.slots_per_chunk for s in at}), time)

    def settings(self) -> dict[str, float]:
        names = ("margin_db", "silence_s", "sound_s", "floor_s")
        return {name: getattr(self, name) for name in names}

    @staticmethod
    def _floor(levels: Float32, past: int) -> Float32:
        # Before the stream there was as much noise as in its first slot.
        padded = np.concatenate((np.full(past - 1, levels[:1].mean(), np.float32), levels))
        recent = np.lib.stride_tricks.sliding_window_view(padded, past)
        floor: Float32 = np.percentile(recent, 10, axis=1).astype(np.float32)
        return floor


def pauses(sound: npt.NDArray[np.bool_], enough: int, silence: int) -> Iterator[int]:
    """Positions at which ``silence`` blocks without sound have followed ``enough`` with it.

    Each stretch of sound is reported once.
    """
    loud_blocks = quiet_blocks = 0
    for block, loud in enumerate(sound):
        if loud:
            loud_blocks, quiet_blocks = loud_blocks + 1, 0
            continue
        quiet_blocks += 1
        if quiet_blocks == silence:
            if loud_blocks >= enough:
                yield block
            loud_blocks = 0


def slot_levels_db(audio: Float32, time: TimeBase) -> Float32:
    """Level of every whole slot in dB relative to full scale, (n_slots,)."""
    whole = len(audio) // time.slot_samples * time.slot_samples
    levels = db(block_power(audio[:whole], time.slot_samples))
    # Below the floor nothing is louder than anything else.
    return np.maximum(levels, SILENT_DB).astype(np.float32)
