"""The published conversation files: StreamAudio-2M, online and offline training conversations.

Their turns are recorded already: each is a clip with what the assistant said after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from data_build.drops import Report
from data_build.records import Clip, Dialogue, DialogueTurn, Origin, Question
from data_build.sources.audio_refs import audio_file
from data_build.sources.json_stream import json_lines
from data_build.sources.rows import Row, encodable, usable
from data_build.sources.source import AS_STATED, BadRow, Corpus, SourceConfig
from data_build.sources.text_files import JSON_SUFFIXES, language_of, row_id, text_files, text_root
from soundflow.errors import UserError
from soundflow.interop.conversations import (
    CorpusItem,
    CorpusTurn,
    OfflineExample,
    OnlineConversation,
    OnlineTurn,
)

T = TypeVar("T")

STREAMAUDIO = Origin("StreamAudio-2M", "see its card", "Audio-Interaction authors, 2026")
STREAMAUDIO_TREE = "*.jsonl, with audio_path relative to the file's folder or to audio_root"


def streamaudio(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """StreamAudio-2M, one conversation a line::

        {"id", "stream_scene_type", "num_turns", "turns": [{"user", "assistant", "emotion",
          "scene_type", "audio_path"}, ...]}

    or the online training form, ``{"conversation": [{"audio_path", "assistant", "emotion"?}]}`` or
    ``{"merge_path", "assistant", "emotion"?}``.

    Every turn is a clip, and the turns of a conversation are a group; ``notes`` hold
    ``conversation``, ``turn``, ``assistant`` ("" where it stays silent), ``emotion``,
    ``scene_type`` and ``ability``. A conversation with a turn that cannot be used is reported
    whole.
    """
    root = text_root(config)

    def make(row: Row) -> list[Clip]:
        name = row_id(row, root)
        if config.corpus == "streamaudio":
            item = _parsed(CorpusItem.from_json, row)
            return _clips(config, row, name, item.stream_scene_type, item.turns)
        online = _parsed(lambda data: OnlineConversation.from_json(0, data), row)
        return _clips(config, row, name, "", online.turns)

    for path in text_files(config, STREAMAUDIO_TREE, report, JSON_SUFFIXES):
        for clips in usable(json_lines(path, report), make, report):
            yield from clips


def offline_conversation(config: SourceConfig, report: Report) -> Iterator[Clip | Dialogue]:
    """The offline training form: ``{"user"?, "assistant", "audio_path"?}``.

    With audio (A_T_T, A_T) a clip with its `Question` (text "" in A_T);
    without (T_T) a dialogue of one turn.
    """
    root = text_root(config)
    origin = _origin(config)

    def make(row: Row) -> Clip | Dialogue:
        name = row_id(row, root)
        example = _parsed(lambda data: OfflineExample.from_json(0, data), row)
        answer = encodable(example.assistant.strip(), "assistant")
        question = encodable((example.user or "").strip(), "user")
        if example.audio_path is None:
            turn = DialogueTurn(question, answer)
            return Dialogue(name, (turn,), origin, language_of(question))
        return Clip(
            id=name,
            kind=config.kind or "event",
            audio=audio_file(_base(config, row) / example.audio_path),
            origin=origin,
            language=config.language or language_of(answer),
            question=Question(question, (answer,)),
            notes={"form": example.task},
        )

    for path in text_files(config, STREAMAUDIO_TREE, report, JSON_SUFFIXES):
        yield from usable(json_lines(path, report), make, report)


def _clips(
    config: SourceConfig,
    row: Row,
    name: str,
    ability: str,
    turns: Sequence[CorpusTurn | OnlineTurn],
) -> list[Clip]:
    base, origin, clips = _base(config, row), _origin(config), []
    for index, turn in enumerate(turns):
        user = encodable(turn.user.strip(), "user") if isinstance(turn, CorpusTurn) else ""
        clip = Clip(
            id=f"{name}/{index:02d}",
            kind=config.kind or ("speech" if user else "event"),
            audio=audio_file(base / turn.audio_path),
            origin=origin,
            text=user,
            language=config.language or (language_of(user) if user else ""),
            group=name,
            notes={
                "conversation": name,
                "turn": index,
                "assistant": "" if turn.silent else encodable(turn.assistant.strip(), "assistant"),
                "emotion": turn.emotion,
                "scene_type": turn.scene_type if isinstance(turn, CorpusTurn) else "",
                "ability": ability,
            },
        )
        clips.append(clip)
    return clips


def _parsed(parse: Callable[[dict[str, object]], T], row: Row) -> T:
    try:
        return parse(dict(row.data))
    except ValueError as error:
        raise BadRow("is not a conversation of the expected form", error) from None


def _base(config: SourceConfig, row: Row) -> Path:
    if config.audio_root:
        return Path(config.audio_root).expanduser()
    return Path(row.where.rpartition(":")[0]).parent


def _origin(config: SourceConfig) -> Origin:
    if config.corpus == "streamaudio":
        return Origin(
            STREAMAUDIO.corpus, config.licence or STREAMAUDIO.licence, STREAMAUDIO.attribution
        )
    name = text_root(config).name
    if not name:
        raise UserError(f"{config.corpus}: root {config.root} has no name", "name a folder")
    return Origin(name, config.licence or "not stated")


CORPORA = {
    "streamaudio": Corpus(
        streamaudio, ("speech", "event"), STREAMAUDIO.licence, STREAMAUDIO_TREE, "StreamAudio-2M",
    ),
    "online_conversation": Corpus(
        streamaudio, ("speech", "event"), AS_STATED, STREAMAUDIO_TREE,
        "data for the published training code",
    ),
    "offline_conversation": Corpus(
        offline_conversation, ("event", "dialogue"), AS_STATED, STREAMAUDIO_TREE,
        "data for the published training code",
    ),
}  # fmt: skip
