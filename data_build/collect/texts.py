"""Texts to be synthesised, one JSON object on each line: sentences and dialogues.

::

    {"text": "Wo ist der Bahnhof?", "language": "de", "translation": "Where is the station?"}
    {"turns": [{"user": "I lost my keys.", "assistant": "Where?", "emotion": "sad"}, ...]}

``language`` ("en") and ``translation_language`` ("en") may be left out; ``id`` may be given. The
terms of the texts are those of the repository unless a line says ``licence`` and ``corpus``. A
dialogue that does not make sense anywhere lists ``places``, settings of scenes (docs/scenes.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_build.drops import Report
from data_build.records import Clip, Dialogue, DialogueTurn, Origin, Unspoken
from data_build.scenes.ontology import place_fault
from data_build.sources.json_stream import json_lines
from data_build.sources.rows import Row, usable
from data_build.sources.source import BadRow
from soundflow.errors import UserError
from soundflow.protocol.tokens import EMOTIONS


def read_texts(path: Path, report: Report) -> Iterator[Clip | Dialogue]:
    """Sentences as unspoken clips, and dialogues.

    Raises:
        UserError: if the file is missing.
    """
    if not path.is_file():
        raise UserError(f"texts: {path}: no such file", "paths are relative to where you start")

    def make(row: Row) -> Clip | Dialogue:
        name = row.text_or(f"{path.stem}/{row.where.rpartition(':')[2]}", "id")
        origin = Origin(row.text_or(path.stem, "corpus"), row.text_or("Apache-2.0", "licence"))
        language = row.text_or("en", "language")
        if "turns" in row.data:
            turns = tuple(_turn(child) for child in row.children("turns"))
            if not turns:
                raise BadRow("turns is empty")
            return Dialogue(name, turns, origin, language, _places(row))
        return Clip(
            id=name,
            kind="speech",
            audio=Unspoken(),
            origin=origin,
            text=row.text("text"),
            language=language,
            translation=row.text_or("", "translation"),
            translation_language=row.text_or("en", "translation_language"),
        )

    yield from usable(json_lines(path, report), make, report)


def _places(row: Row) -> tuple[str, ...]:
    places = row.data.get("places") or []
    if not isinstance(places, list):
        raise BadRow("places is not a list")
    for place in places:
        if fault := place_fault(place):
            raise BadRow(f"places: {fault}")
    return tuple(places)


def _turn(row: Row) -> DialogueTurn:
    emotion = row.text_or("normal", "emotion")
    if emotion not in EMOTIONS:
        raise BadRow(f"emotion is {emotion!r}, not one of {', '.join(EMOTIONS)}")
    return DialogueTurn(row.text("user"), row.text("assistant"), emotion)
