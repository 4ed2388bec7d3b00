"""One stream as stored on disk (schema version 4).

A shard is a WebDataset tar; a stream is three members of it::

    <id>.flac         16 kHz mono PCM16, a whole number of chunks (absent in text-only samples)
    <id>.json         StreamRecord: what happens, what is said, where it all came from
    <id>.tokens.npy   int32 (2, n_tokens): ids and roles, a plain array, never pickle
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from soundflow.protocol.layout import Role
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.turns import Event, Reply

SCHEMA_VERSION = 4
PCM_SCALE = np.float32(32768.0)

Kind = Literal["online", "offline"]
Pcm = npt.NDArray[np.int16]


@dataclass(frozen=True)
class SourceClip:
    """A clip that a stream is made of, with its licence and the labels of its sounds.

    Attributes:
        recording: what its file is, wherever it lies.
        near_duplicates: the cluster of recordings that sound like it.
        group: what its corpus says belongs together.
    """

    id: str
    corpus: str
    licence: str
    attribution: str = ""
    labels: tuple[str, ...] = ()
    recording: str = ""
    near_duplicates: str = ""
    group: str = ""

    @staticmethod
    def from_json(data: dict[str, Any]) -> SourceClip:
        return SourceClip(**{**data, "labels": tuple(data["labels"])})


@dataclass(frozen=True)
class MixedItem:
    """One clip as mixed into a stream.

    Attributes:
        what: its name in the timeline ("user turn", "smoke alarm", ...).
        track: "foreground", "background" or "ambient".
        gain_db: applied in the mix.
        on_samples, end_samples: where it can be heard, in the stream.
        speaker, text, language: of speech.
        reply_chunks: chunks of the replies that it deserves.
        above_rest_db: how far it stands above everything else in the stream, where it does so most
            (`data_build.compose.masking`); None: not mixed with anything.
        hit_limit: whether the preprocessing used all the passes it may; None: not preprocessed.
    """

    clip: SourceClip
    what: str
    track: str
    start_samples: int
    n_samples: int
    gain_db: float
    on_samples: int
    end_samples: int
    speaker: str = ""
    text: str = ""
    language: str = ""
    reply_chunks: tuple[int, ...] = ()
    above_rest_db: float | None = None
    hit_limit: bool | None = None


@dataclass(frozen=True)
class NoiseTrack:
    """Noise under a whole stream: its clips in order, and the foreground-to-noise ratio.

    The builder's ratio is the least of the plain ratio of powers and that of each foreground item
    with its bands weighted by their share in understanding speech.
    """

    clips: tuple[SourceClip, ...]
    snr_db: float


@dataclass(frozen=True)
class OfflineTurn:
    """What an offline sample is asked in text (None: nothing), and what it answers."""

    user: str | None
    answer: str


@dataclass(frozen=True)
class StreamRecord:
    """What a stream is, apart from its samples. Times are in samples from its start.

    Attributes:
        replies, events: of online streams.
        offline: of offline samples.
        items: the clips that were mixed.
        noise: the noise tracks under them.
        scene: the planned scene in a sentence; empty: there is none.
        any_sound: whether any sound may be asked about, so that no noise under it has a name.
        peak_limited: whether the mix was scaled down as a whole.
        provenance: what else is needed to build this very stream again; written, never read back.
    """

    id: str
    kind: Kind
    ability: str
    task: str
    system: str
    n_samples: int
    replies: tuple[Reply, ...] = ()
    events: tuple[Event, ...] = ()
    offline: OfflineTurn | None = None
    items: tuple[MixedItem, ...] = ()
    noise: tuple[NoiseTrack, ...] = ()
    scene: str = ""
    any_sound: bool = False
    peak_limited: bool = False
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def clips(self) -> dict[str, SourceClip]:
        """Every clip in the mix, by id."""
        noise = [clip for track in self.noise for clip in track.clips]
        return {clip.id: clip for clip in (*(item.clip for item in self.items), *noise)}

    def to_json(self) -> dict[str, Any]:
        # As dataclasses.asdict gives it, without copying the provenance leaf by leaf.
        return {
            "schema": SCHEMA_VERSION,
            **vars(self),
            "replies": [vars(reply) for reply in self.replies],
            "events": [{**vars(e), "answers": list(e.answers)} for e in self.events],
            "offline": vars(self.offline) if self.offline else None,
            "items": [
                {
                    **vars(item),
                    "clip": _plain(item.clip),
                    "reply_chunks": list(item.reply_chunks),
                }
                for item in self.items
            ],
            "noise": [
                {**vars(track), "clips": [_plain(clip) for clip in track.clips]}
                for track in self.noise
            ],
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> StreamRecord:
        """The inverse of `to_json`.

        Raises:
            ValueError: if the schema version or a field is not what this version writes.
        """
        data = dict(data)
        version = data.pop("schema", None)
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema version {version}, expected {SCHEMA_VERSION}")
        try:
            typed = {
                "replies": tuple(Reply(**r) for r in data["replies"]),
                "events": tuple(
                    Event(**{**e, "answers": tuple(e["answers"])}) for e in data["events"]
                ),
                "offline": OfflineTurn(**data["offline"]) if data["offline"] else None,
                "items": tuple(
                    MixedItem(
                        **{
                            **i,
                            "clip": SourceClip.from_json(i["clip"]),
                            "reply_chunks": tuple(i["reply_chunks"]),
                        }
                    )
                    for i in data["items"]
                ),
                "noise": tuple(
                    NoiseTrack(tuple(SourceClip.from_json(c) for c in n["clips"]), n["snr_db"])
                    for n in data["noise"]
                ),
            }
            return StreamRecord(**{**data, **typed})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a stream record: {error}") from error


def _plain(clip: SourceClip) -> dict[str, Any]:
    return {**vars(clip), "labels": list(clip.labels)}


@dataclass(frozen=True)
class StreamSample:
    """A record with its samples and tokens.

    Attributes:
        pcm: (n_samples,) int16, a whole number of chunks; the stream *is* these integers, so that
            every reader starts from the same bits.
        ids: (n_tokens,) int32.
        roles: (n_tokens,) int8, values of `soundflow.protocol.layout.Role`.
    """

    record: StreamRecord
    pcm: Pcm
    ids: npt.NDArray[np.int32]
    roles: npt.NDArray[np.int8]

    def audio(self) -> npt.NDArray[np.float32]:
        """(n_samples,) float32 in [-1, 1): exactly pcm / 32768."""
        return self.pcm.astype(np.float32) / PCM_SCALE

    def validate(self, spec: StreamSpec) -> None:
        """Checks the parts of a sample against each other.

        Raises:
            ValueError: if lengths disagree, or the audio slots in ``ids`` do not fit the audio.
        """
        time, table = spec.time, spec.tokens
        if len(self.pcm) != self.record.n_samples or len(self.pcm) % time.chunk_samples:
            raise ValueError(
                f"{self.record.id}: {len(self.pcm)} samples, the record says "
                f"{self.record.n_samples}, a chunk has {time.chunk_samples}"
            )
        if self.ids.shape != self.roles.shape or self.ids.ndim != 1:
            raise ValueError(f"{self.record.id}: ids {self.ids.shape}, roles {self.roles.shape}")
        if not np.isin(self.roles, [int(r) for r in Role]).all():
            raise ValueError(f"{self.record.id}: unknown role")
        pad = table.pad if self.record.kind == "online" else table.audio_pad
        slots = time.chunks_in(len(self.pcm)) * time.slots_per_chunk
        found = int((self.ids == pad).sum())
        if found != slots:
            raise ValueError(f"{self.record.id}: {found} audio slots for {slots} encoder outputs")


def quantise(audio: npt.NDArray[np.float32]) -> Pcm:
    """Float samples to PCM16, rounding to nearest. The inverse of `StreamSample.audio`.

    Raises:
        ValueError: if a sample is not finite or lies outside [-1, 1]; limit peaks first.
    """
    if not np.isfinite(audio).all() or np.abs(audio).max(initial=0.0) > 1.0:
        raise ValueError("audio must be finite and within [-1, 1] before it is quantised")
    scaled: Pcm = np.clip(np.rint(audio * PCM_SCALE), -32768, 32767).astype(np.int16)
    return scaled
