"""Full-Duplex-Bench v1 and v1.5 in their own folders, by its rules and by ours.

::

    v1    ID/input.wav in                 annotation         when a reply is due
          candor_turn_taking              turn_taking.json   [0].timestamp[0]
          synthetic_user_interruption     interrupt.json     [0].timestamp[1]
          candor_, synthetic_pause_handling                  never: the user goes on
          icc_backchannel                                    never: the user tells a story
    v1.5  user_interruption               metadata.json      timestamps[1]
          user_backchannel, talking_to_other,
          background_speech               metadata.json      never, to what overlaps

The bench counts a turn as taken (TOR) unless the output lasts under 1 s with at most 3 words,
wherever it lies, and clips negative latencies to 0: a system that always talks is perfect at taking
turns. For backchannels each stretch of speech counts for itself, with at most 2 words. v1.5 has a
chat model name what the system did, and no TOR; the rule of v1 is applied to it.

Beside its figures stand ours: a reply in time (within 2 s of when it is due), replies that nobody
waited for, and the signed latency. Talk from before an interruption or overlap is not judged: there
it answers the context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pydantic.dataclasses
from pydantic import TypeAdapter, ValidationError

from inference.evaluate.audio_items import audio_item
from inference.evaluate.outcome import Outcome, TimedReply
from inference.evaluate.settings import BenchmarkConfig, Pause
from inference.evaluate.statistics.counts import share, wilson
from inference.evaluate.statistics.figures import Draws, Figure, mean, quantiles
from inference.evaluate.systems import baselines
from inference.evaluate.systems.baselines import Baseline
from inference.evaluate.systems.voice_activity import VoiceActivity, is_installed
from inference.evaluate.task import Item, Summary, Table
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

SHORT_S, FEW_WORDS = 1.0, 3
BACKCHANNEL, FEW_BACKCHANNEL_WORDS = "backchannel", 2
# Text has no duration of its own; the bench's words are spoken at about this rate.
WORDS_A_SECOND = 2.5

Times = tuple[float, float]
T = TypeVar("T")


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS, kw_only=True)
class FullDuplexConfig(BenchmarkConfig):
    """Full-Duplex-Bench as downloaded.

    Attributes:
        data: the folder that holds the folders of its tasks, or those of its versions.
        pause_s: silence after every recording, which is also how late a reply may come.
    """

    pause_s: Pause = 2.0


@dataclass(frozen=True)
class _Annotation:
    timestamp: Times


@dataclass(frozen=True)
class _Metadata:
    timestamps: Times


# Other keys of these files are texts.
_ANNOTATIONS = TypeAdapter(list[_Annotation])
_METADATA = TypeAdapter(_Metadata)


@dataclass(frozen=True)
class Scenario:
    """What should happen in one recording.

    Attributes:
        ready_s: when a reply is due; None if none is.
        from_s: replies from here on are judged.
    """

    task: str
    ready_s: float | None
    from_s: float = 0.0


@dataclass(frozen=True)
class FullDuplexRow:
    """What happened in one recording.

    Attributes:
        due: whether a reply is.
        took_turn, clipped_latency_s: by the rules of the bench; the latter None without a turn.
        in_time: whether a reply began within the window.
        uncalled: replies that nobody waited for.
        latency_s: of the first judged reply, signed; None without one, or where none is due.
    """

    task: str
    due: bool
    took_turn: bool
    clipped_latency_s: float | None
    in_time: bool
    uncalled: int
    latency_s: float | None
    failed: bool


@dataclass(frozen=True)
class FullDuplexTask:
    """See the top of this module."""

    config: FullDuplexConfig
    time: TimeBase
    threshold: float | None = None
    name: str = "full_duplex"
    title: str = "Full-Duplex-Bench"
    lead: str = (
        "Scored by the rules of the bench (TOR, latency clipped at 0) and by ours. Never and "
        "always talking show what each rule can tell apart."
    )
    row_type: type[FullDuplexRow] = field(default=FullDuplexRow, repr=False)

    def items(self) -> list[Item[Scenario]]:
        root = Path(self.config.data)
        found: list[Item[Scenario]] = []
        for folder in _task_folders(root):
            # With its version where there are several: both may have a task and its samples.
            task = folder.relative_to(root).as_posix()
            for sample in sorted(p for p in folder.iterdir() if (p / "input.wav").is_file()):
                scenario = _scenario(task, sample)
                audio = partial(Path, sample / "input.wav")
                name = f"{task}/{sample.name}"
                found.append(audio_item(name, audio, scenario, pause_s=self.config.pause_s))
        if not found:
            raise UserError(
                f"{self.config.data}: holds no folder of Full-Duplex-Bench with input.wav",
                "name the folder that holds candor_turn_taking/ and so on",
            )
        return found[: self.config.max_items]

    def baselines(self) -> list[Baseline[Scenario]]:
        found: list[Baseline[Scenario]] = [baselines.never(), baselines.always(self.time)]
        if is_installed():
            found.append(baselines.listening("VAD timer", VoiceActivity(self.time)))
        return found

    def score(self, item: Item[Scenario], outcome: Outcome) -> FullDuplexRow:
        scenario, ready = item.reference, item.reference.ready_s
        onsets = [self.time.seconds(r.at_samples) for r in outcome.replies]
        judged = [s for s in onsets if s >= scenario.from_s]
        hit = next(
            (s for s in judged if ready is not None and 0 <= s - ready <= self.config.pause_s),
            None,
        )
        took_turn = _takes_turn(scenario.task, outcome.replies, self.time)
        return FullDuplexRow(
            task=scenario.task,
            due=ready is not None,
            took_turn=took_turn,
            clipped_latency_s=max(0.0, onsets[0] - ready)
            if took_turn and ready is not None
            else None,
            in_time=hit is not None,
            uncalled=len(judged) - (hit is not None),
            latency_s=judged[0] - ready if judged and ready is not None else None,
            failed=outcome.failure is not None,
        )

    def summarise(self, rows: Sequence[FullDuplexRow]) -> Summary:
        draws = Draws.of(len(rows))
        due = np.array([r.due for r in rows], float)
        quiet = np.array([not r.due and not r.uncalled and not r.failed for r in rows], float)
        in_time = np.array([r.in_time for r in rows], float)
        took_turn = np.array([r.took_turn for r in rows], float)
        signature = f"full-duplex:1|window:{self.config.pause_s:g}s|chunk:{self.time.chunk_s:g}s"
        figures = {
            "replies_in_time": share(in_time, due, draws),
            "quiet_where_none_is_due": share(quiet, 1.0 - due, draws),
            "uncalled_replies": mean([r.uncalled for r in rows], draws),
            "bench_TOR_due": share(took_turn * due, due, draws),
            "bench_TOR_not_due": share(took_turn * (1.0 - due), 1.0 - due, draws),
        }
        table = Table(
            "By task",
            (
                "task", "n", "bench: TOR", "bench: latency, s", "in time", "quiet",
                "uncalled replies", "latency p50, s",
            ),
            tuple(
                _line(task, [r for r in rows if r.task == task])
                for task in dict.fromkeys(r.task for r in rows)
            ),
            "TOR should be high where a reply is due and low elsewhere.",
        )  # fmt: skip
        return Summary({k: f.signed(signature) for k, f in figures.items()}, (table,))

    def right(self, row: FullDuplexRow) -> tuple[bool, ...]:
        """In time and nothing else, or quiet where nothing is due."""
        return (not row.failed and row.uncalled == 0 and row.in_time == row.due,)


def _line(task: str, rows: Sequence[FullDuplexRow]) -> tuple[str | Figure, ...]:
    due = [r for r in rows if r.due]
    others = [r for r in rows if not r.due]
    clipped = [r.clipped_latency_s for r in rows if r.clipped_latency_s is not None]
    latency = np.array([r.latency_s for r in rows if r.latency_s is not None])
    n = len(latency)
    return (
        task,
        str(len(rows)),
        wilson(sum(r.took_turn for r in rows), len(rows)),
        Figure(float(np.mean(clipped)) if clipped else None, len(clipped)),
        wilson(sum(r.in_time for r in due), len(due)),
        wilson(sum(not r.uncalled and not r.failed for r in others), len(others)),
        Figure(sum(r.uncalled for r in rows) / len(rows), len(rows)),
        *quantiles(latency, np.arange(n), (0.5,), Draws.of(n)),
    )


def _takes_turn(task: str, replies: Sequence[TimedReply], time: TimeBase) -> bool:
    """The rule of the bench: more than 3 words, or 1 s and more from first word to last; of
    backchannels, any reply of more than 2 words.
    """
    if not replies:
        return False
    if any(r.text is None for r in replies):  # a system without words: its replies are turns
        return True
    words = [len((r.text or "").split()) for r in replies]
    if task.endswith(BACKCHANNEL):
        return max(words) > FEW_BACKCHANNEL_WORDS
    last_s = time.seconds(replies[-1].at_samples) + words[-1] / WORDS_A_SECOND
    lasts_s = last_s - time.seconds(replies[0].at_samples)
    return sum(words) > 0 and (sum(words) > FEW_WORDS or lasts_s >= SHORT_S)


VERSIONS = ("v1.0", "v1.5")
_KINDS = (
    "turn_taking", "user_interruption", "pause_handling", "backchannel", "talking_to_other",
    "background_speech",
)  # fmt: skip


def _task_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        raise UserError(f"{root}: no such folder", "name the folder of Full-Duplex-Bench")
    # As downloaded, the tasks are in a folder for each version.
    roots = [root, *(root / version for version in VERSIONS if (root / version).is_dir())]
    found = [p for place in roots for p in place.iterdir() if p.is_dir()]
    return sorted(p for p in found if p.name.endswith(_KINDS))


def _scenario(task: str, sample: Path) -> Scenario:
    """What the annotations of a sample say.

    Raises:
        UserError: if they are missing or of another form.
    """
    if (sample / "metadata.json").is_file():
        start_s, end_s = _parsed(sample / "metadata.json", _METADATA).timestamps
        return Scenario(task, end_s if task.endswith("user_interruption") else None, start_s)
    if task.endswith("turn_taking"):
        ((end_s, _), *_) = _times(sample / "turn_taking.json")
        return Scenario(task, end_s)
    if task.endswith("user_interruption"):
        ((start_s, end_s), *_) = _times(sample / "interrupt.json")
        return Scenario(task, end_s, start_s)
    return Scenario(task, None)


def _times(path: Path) -> list[Times]:
    found = [a.timestamp for a in _parsed(path, _ANNOTATIONS)]
    if not found:
        raise UserError(f"{path}: holds no annotation", "download the sample again")
    return found


def _parsed(path: Path, adapter: TypeAdapter[T]) -> T:
    try:
        return adapter.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        said = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be read ({said})", "download the sample again") from error
