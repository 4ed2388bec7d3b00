"""End of turn: has the speaker finished, or do they pause? Public data sets in their own layout.

Data sets such as ``pipecat-ai/smart-turn-data-v3-test`` hold short clips with the columns
``audio``, ``endpoint_bool`` (whether the turn ends there) and ``id``, ``language``, ``midfiller``,
``endfiller``: on the hub, as a folder of `Dataset.save_to_disk`, or as a folder of audio with
``metadata.jsonl``.

::

    complete    ▓▓▓▓▓▓▓▓▓▓▓▓|              reply here: latency = onset - end of the clip
    incomplete  ▓▓▓▓▓▓▓▓▓|····· pause ·····  any reply: false cut-off

A system trades one for the other, so both are read off its trade-off: the false cut-offs that it
has where its median latency is at most 300 or 600 ms, and its median latency where it cuts off at
most 5 %. Every threshold comes from one decoding in which the model never speaks, because what
leads to a first reply is silence at any threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pydantic.dataclasses

from inference.evaluate.audio_items import audio_item
from inference.evaluate.outcome import Outcome
from inference.evaluate.published import read_rows
from inference.evaluate.settings import BenchmarkConfig, Pause
from inference.evaluate.statistics.counts import item_share
from inference.evaluate.statistics.figures import Array, Draws, Figure, quantiles
from inference.evaluate.systems import baselines
from inference.evaluate.systems.baselines import Baseline
from inference.evaluate.systems.voice_activity import SilenceOdds, is_installed
from inference.evaluate.task import Item, Summary, Table
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

VERDICTS = {"true": True, "1": True, "false": False, "0": False}
LATENCIES_S = (0.3, 0.6)
CUT_OFFS = 0.05
# Where there are more values at which an onset changes, so many of them, evenly by rank: a step
# then changes 0.2 % of the onsets.
N_THRESHOLDS = 512


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS, kw_only=True)
class EndOfTurnConfig(BenchmarkConfig):
    """A public end-of-turn data set.

    Attributes:
        data: a folder, or the id of a hub repository.
        split: of the data set.
        pause_s: silence after every clip: how long a pause is at most, and how late a reply.
    """

    split: str = "train"
    pause_s: Pause = 2.0


@dataclass(frozen=True)
class Clip:
    """``complete``: whether the turn ends with the clip, ``end_s`` seconds from its start."""

    complete: bool
    end_s: float
    language: str = ""


@dataclass(frozen=True)
class EndOfTurnRow:
    """When a system would have begun to reply at any threshold.

    Attributes:
        p_response: for each chunk; where a system has none, 1 from its first reply on.
        failed: it counts as a cut-off, or as a turn without a reply.
    """

    complete: bool
    language: str
    end_s: float
    p_response: tuple[float, ...]
    failed: bool


@dataclass(frozen=True)
class EndOfTurnTask:
    """See the top of this module."""

    config: EndOfTurnConfig
    time: TimeBase
    threshold: float | None = 1.0
    name: str = "end_of_turn"
    title: str = "End of turn"
    lead: str = (
        "Clips in which a turn ends, or only pauses. False cut-offs are replies to a pause; the "
        "latency is signed, from the end of the clip."
    )
    row_type: type[EndOfTurnRow] = field(default=EndOfTurnRow, repr=False)

    def items(self) -> list[Item[Clip]]:
        found = []
        rows = read_rows(self.config.data, ["endpoint_bool"], split=self.config.split)
        for number, row in enumerate(rows[: self.config.max_items]):
            name = str(row.fields.get("id") or number)
            item = audio_item(name, row.audio, None, pause_s=self.config.pause_s)
            end_s = self.time.seconds(item.n_samples) - self.config.pause_s
            complete = self._is_complete(name, row.fields["endpoint_bool"])
            clip = Clip(complete, end_s, str(row.fields.get("language") or ""))
            found.append(Item(name, item.n_samples, item.open, clip))
        return found

    def _is_complete(self, name: str, value: object) -> bool:
        said = str(value).lower()  # bool, 0 or 1, or text, by the tool that wrote the data set
        if said not in VERDICTS:
            raise UserError(
                f"{self.config.data}: clip {name}: endpoint_bool is {value!r}",
                "it says whether the turn ends there: true or false",
            )
        return VERDICTS[said]

    def baselines(self) -> list[Baseline[Clip]]:
        found: list[Baseline[Clip]] = [baselines.never(), baselines.always(self.time)]
        if is_installed():
            found.append(baselines.listening("VAD timer", SilenceOdds(self.time)))
        return found

    def score(self, item: Item[Clip], outcome: Outcome) -> EndOfTurnRow:
        clip = item.reference
        p = [q or 0.0 for q in outcome.p_response]
        if not p:
            first = min((r.at_samples for r in outcome.replies), default=None)
            n_chunks = self.time.chunks_in(item.n_samples)
            p = [
                float(first is not None and self.time.decision_time_samples(k) >= first)
                for k in range(n_chunks)
            ]
        return EndOfTurnRow(
            clip.complete, clip.language, clip.end_s, tuple(p), outcome.failure is not None
        )

    def summarise(self, rows: Sequence[EndOfTurnRow]) -> Summary:
        trade_off = _TradeOff.of(rows, self.time)
        signature = (
            f"end-of-turn:1|pause:{self.config.pause_s:g}s|chunk:{self.time.chunk_s:g}s|"
            "latency:median over complete turns, a missing reply is infinite"
        )
        figures = {
            **{f"cut_offs_at_{1000 * s:.0f}_ms": trade_off.cut_offs_at(s) for s in LATENCIES_S},
            "latency_at_5_percent_s": trade_off.latency_at(CUT_OFFS),
            "accuracy_at_0.5": _accuracy(rows, self.time),
        }
        languages = sorted({row.language for row in rows})
        table = Table(
            "By language",
            ("language", "clips", "accuracy at 0.5"),
            tuple(
                (name or "unknown", str(len(mine)), _accuracy(mine, self.time))
                for name in languages
                if (mine := [r for r in rows if r.language == name])
            ),
        )
        return Summary({k: f.signed(signature) for k, f in figures.items()}, (table,))

    def right(self, row: EndOfTurnRow) -> tuple[bool, ...]:
        """Whether a threshold of 0.5 tells turn from pause."""
        return (_is_right(row, self.time),)


@dataclass(frozen=True)
class _TradeOff:
    """Per threshold, ascending: which clips were cut off, (n_thresholds, n_clips), and the latency
    of each complete turn in seconds, infinite without a reply, (n_thresholds, n_turns). A reply
    before the end of a complete turn is a cut-off too, of a speaker who was still speaking."""

    cut: npt.NDArray[np.bool_]
    latency_s: Array

    @staticmethod
    def of(rows: Sequence[EndOfTurnRow], time: TimeBase) -> _TradeOff:
        # Only a p above all before it in its clip can begin the first reply.
        rising = {float(p) for row in rows for p in np.maximum.accumulate(row.p_response)}
        seen = np.array(sorted((rising | {0.5}) - {0.0}))
        at = np.linspace(0, len(seen) - 1, min(N_THRESHOLDS, len(seen))).round().astype(int)
        thresholds = seen[at]
        onsets = np.array([_onsets_s(row, thresholds, time) for row in rows]).reshape(
            len(rows), len(thresholds)
        )
        ends = np.array([row.end_s for row in rows])
        complete = np.array([row.complete for row in rows], bool)
        failed = np.array([row.failed for row in rows], bool)
        latency = np.where(failed[:, None], np.inf, onsets - ends[:, None])
        cut = np.where(complete[:, None], latency < 0.0, np.isfinite(onsets) | failed[:, None])
        return _TradeOff(cut.T, latency[complete].T)

    def cut_offs_at(self, latency_s: float) -> Figure:
        """The fewest cut-offs of a threshold whose median latency keeps to the budget."""
        medians = self._medians()
        allowed = np.flatnonzero(medians <= latency_s + 1e-9)  # it is a sum of floats
        if not allowed.size or not self.cut.shape[1]:
            return Figure(None, float(self.cut.shape[1]))
        best = allowed[self.cut[allowed].mean(axis=1).argmin()]
        return item_share(self.cut[best])

    def latency_at(self, cut_offs: float) -> Figure:
        """The lowest median latency of a threshold with at most so many cut-offs."""
        medians = self._medians()
        if not self.cut.shape[1] or not self.latency_s.shape[1]:
            return Figure(None)
        allowed = np.flatnonzero((self.cut.mean(axis=1) <= cut_offs) & np.isfinite(medians))
        if not allowed.size:
            return Figure(None, float(self.latency_s.shape[1]))
        best = self.latency_s[allowed[medians[allowed].argmin()]]
        n = len(best)
        (found,) = quantiles(best, np.arange(n), (0.5,), Draws.of(n))
        return found if found.value is not None and np.isfinite(found.value) else Figure(None, n)

    def _medians(self) -> Array:
        if not self.latency_s.shape[1]:
            return np.full(len(self.latency_s), np.inf)
        ordered = np.sort(self.latency_s, axis=1)
        found: Array = ordered[:, (ordered.shape[1] - 1) // 2]
        return found


def _onsets_s(row: EndOfTurnRow, thresholds: Array, time: TimeBase) -> Array:
    """When the first reply begins at each threshold; infinite without one."""
    so_far = np.maximum.accumulate(np.array([*row.p_response, np.inf]))
    chunk = np.searchsorted(so_far, thresholds, side="left")
    return np.where(chunk < len(row.p_response), (chunk + 1) * time.chunk_s, np.inf)


def _is_right(row: EndOfTurnRow, time: TimeBase) -> bool:
    onset = float(_onsets_s(row, np.array([0.5]), time)[0])
    if row.failed:
        return False
    return row.end_s <= onset < np.inf if row.complete else onset == np.inf


def _accuracy(rows: Sequence[EndOfTurnRow], time: TimeBase) -> Figure:
    right = [_is_right(row, time) for row in rows]
    return item_share(right)
