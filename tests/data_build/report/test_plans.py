"""A plan in words: everything that is heard and said, in the order of time, and why."""

from __future__ import annotations

from dataclasses import replace

from data_build.labelling.policy import CuedSound, policy
from data_build.records import PlannedReply
from data_build.report.plans import plan_text
from data_build.wording.wording import wording
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.turns import Event, Reply
from soundflow.shards.schema import MixedItem, NoiseTrack, SourceClip, StreamRecord

RULES = policy([CuedSound("help", None, PlannedReply("Coming.")), CuedSound("beep", None, None)])
SIREN = "A siren is close by. Make way if you are on the road."
MANDARIN = wording().plainest("<warn.siren>")["zh"]
SCENE = "At noon on a street, over traffic: bark."


def source(label: str) -> SourceClip:
    return SourceClip(label, "test", "CC0", "", (label,), "", "", "")


def item(
    what: str, on_s: float, *chunks: int, text: str = "", track: str = "foreground"
) -> MixedItem:
    on = round(16_000 * on_s)
    return MixedItem(
        source(what), what, track, on, 16_000, 0.0, on, on + 16_000, "anna", text,
        reply_chunks=chunks,
    )  # fmt: skip


def answered(*texts: str) -> Event:
    """What was answered with the first of the texts; the second is the plainest."""
    return Event("e", 0, 1, 1, True, texts)


def test_a_plan_is_told_in_the_order_of_time_with_reasons() -> None:
    items = (
        item("user turn", 1.0, 5, text="Is it late?"),
        item("Siren", 4.0, 12),
        item("Bark", 6.0, 17),
        item("somebody else", 8.0, text="Well."),
        item("help", 10.0, 27),
        item("beep", 12.0, 32),
        item("Siren", 14.0, 36),
        item("Rain", 0.0, track="ambient"),
        item("Siren", 16.0, 42),
        item("Siren", 18.0, 47),
    )
    texts = ("No.", SIREN, "Bark.", "Coming.", "One.", f"Siren. {SIREN}", "Mind it.", "A. Mind it.")
    chunks = (5, 12, 17, 27, 32, 36, 42, 47)
    events = (
        answered(SIREN), answered("Bark."), answered(f"Siren. {SIREN}", "Siren.", SIREN),
        answered("Mind it.", MANDARIN), answered("A. Mind it.", f"A siren. {SIREN}", "A.", "Mind"),
    )  # fmt: skip
    replies = tuple(
        Reply(c, t, "urgent" if t == "Coming." else "normal")
        for c, t in zip(chunks, texts, strict=True)
    )
    record = StreamRecord(
        "s", "online", "a", "t", "Describe sounds.", 400_000, replies=replies, events=events,
        items=items, noise=(NoiseTrack((source("Pink noise"),), 12.3),), scene=SCENE,
    )  # fmt: skip
    told = plan_text(record, TimeBase(), RULES, wording()).splitlines()
    assert told[:3] == [
        "At noon on a street, over traffic: bark.",
        "instruction: Describe sounds.",
        "noise under it, 12 dB below: pink noise",
    ]
    assert told[3:] == [
        "   0.0-  1.0  around  Rain",
        "   1.0-  2.0          user: “Is it late?”",
        "         2.4    assistant: “No.”  (it was said to the assistant)",
        "   4.0-  5.0          Siren",
        f"         5.2    assistant: “{SIREN}”  (the sound calls for help)",
        "   6.0-  7.0          Bark",
        "         7.2    assistant: “Bark.”  (as instructed)",
        "   8.0-  9.0          voice anna: “Well.”",
        "  10.0- 11.0          help",
        "        11.2    assistant, urgent: “Coming.”  (a cue of the recipe)",
        "  12.0- 13.0          beep",
        "        13.2    assistant: “One.”  (as instructed)",
        "  14.0- 15.0          Siren",
        f"        14.8    assistant: “Siren. {SIREN}”  (as instructed, and it calls for help)",
        "  16.0- 17.0          Siren",
        "        17.2    assistant: “Mind it.”  (the sound calls for help)",
        "  18.0- 19.0          Siren",
        "        19.2    assistant: “A. Mind it.”  (as instructed, and it calls for help)",
    ]


def test_of_several_users_each_has_a_number() -> None:
    items = (
        item("user turn", 0.0, text="Be quiet."),
        replace(item("user turn", 2.0, text="Hello?"), speaker="ben"),
    )
    record = StreamRecord("s", "online", "a", "t", "", 80_000, items=items)
    told = plan_text(record, TimeBase(), RULES, wording())
    assert "user 1: “Be quiet.”" in told
    assert "user 2: “Hello?”" in told
