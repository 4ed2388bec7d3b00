"""How much of a sound a listener needs, from its onset, to know what it is.

The times are those of ``recognition.tsv``; its row for the nearest class upwards holds.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from data_build.records import Clip, PlannedReply
from data_build.scenes.ontology import SoundClass, ontology

TABLE = Path(__file__).parent / "recognition.tsv"


def needed_s(clip: Clip) -> float | None:
    """Seconds from the onset after which each class that a clip names can be known.

    None where it names none: then nothing less than the whole clip is known to be enough.
    """
    found = (ontology().find(label) for label in clip.labels)
    return max((_of_class(sound) for sound in found if sound is not None), default=None)


def once_recognised(reply: PlannedReply, clip: Clip) -> PlannedReply:
    """Due as soon as the class of the sound can be known, unless the reply has its own time."""
    if reply.after_s is not None:
        return reply
    return replace(reply, needs_s=needed_s(clip), basis="assumed")


def _of_class(sound: SoundClass) -> float:
    rows = table()
    return next(rows[name] for name in sound.lineage if name in rows)


@lru_cache(maxsize=1)
def table() -> Mapping[str, float]:
    """Class -> seconds; there is a row above every class."""
    lines = (line for line in TABLE.read_text().splitlines() if not line.startswith("#"))
    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    return {row["class"]: float(row["seconds"]) for row in rows}
