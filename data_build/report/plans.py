"""The plan of a stream as text: where it is, who says what and what sounds when, what is replied
and why.

::

    Around noon in a kitchen, over tick: doorbell, then bark.
      0.0-13.6  around   tick
      1.2- 2.5           doorbell
      4.0- 5.1           “Is it open?”
            5.2            assistant: “It is.”  (it was asked)
"""

from __future__ import annotations

from data_build.drops import Dropped
from data_build.labelling.policy import Policy
from data_build.labelling.sounds import sound_name
from data_build.records import Clip, Origin, Unspoken
from data_build.wording.wording import Wording
from soundflow.protocol.timebase import TimeBase
from soundflow.shards.schema import MixedItem, SourceClip, StreamRecord

_TRACKS = {"foreground": "", "background": "behind", "ambient": "around"}
_TURN = "user turn"


def plan_text(record: StreamRecord, time: TimeBase, policy: Policy, wording: Wording) -> str:
    """The plan of an online stream, a line for each item and reply, in the order of time."""
    lines = [
        record.scene or "In no planned scene.",
        f"instruction: {record.system}" if record.system else "",
    ]
    for track in record.noise:
        names = dict.fromkeys(sound_name(_as_clip(clip)) for clip in track.clips)
        lines.append(f"noise under it, {track.snr_db:.0f} dB below: {', '.join(names)}")
    said = {reply.chunk: reply for reply in record.replies}
    users = dict.fromkeys(item.speaker for item in record.items if item.what == _TURN)
    dated: list[tuple[float, str]] = []
    for item in record.items:
        on_s, end_s = time.seconds(item.on_samples), time.seconds(item.end_samples)
        what = _in_words(item, list(users))
        dated.append((on_s, f"{on_s:6.1f}-{end_s:5.1f}  {_TRACKS[item.track]:7} {what}"))
        for chunk in item.reply_chunks:
            at_s = time.seconds(time.decision_time_samples(chunk))
            reply = said[chunk]
            tone = "" if reply.emotion == "normal" else f", {reply.emotion}"
            answers = next(
                (e.answers for e in record.events if reply.text in e.answers[:1]), (reply.text,)
            )
            why = _why(item, answers, policy, wording)
            dated.append((at_s, f"{at_s:12.1f}    assistant{tone}: “{reply.text}”  ({why})"))
    return "\n".join([*(line for line in lines if line), *(text for _, text in sorted(dated))])


def _in_words(item: MixedItem, users: list[str]) -> str:
    """What sounds, or who says what; of several users each has a number."""
    if not item.text:
        return item.what
    who = f"voice {item.speaker}" if item.speaker else "somebody"
    if item.what == _TURN:
        who = "user" if len(users) == 1 else f"user {1 + users.index(item.speaker)}"
    return f"{who}: “{item.text}”"


def _why(item: MixedItem, answers: tuple[str, ...], policy: Policy, wording: Wording) -> str:
    """Why a reply to an item is due.

    ``answers``: of its event; the reply itself comes first, then its plainest wording.
    """
    if item.text and item.what not in policy.cues:
        return "it was said to the assistant" if item.what == _TURN else "as instructed"
    cued = item.what in policy.cues or policy.cued(_as_clip(item.clip))
    warnings = _unasked(item, policy, wording)
    if not warnings.isdisjoint(answers[:2]):
        return "a cue of the recipe" if cued else "the sound calls for help"
    also = any(warning in answer for answer in answers[:2] for warning in warnings)
    return "as instructed, and it calls for help" if also else "as instructed"


def _unasked(item: MixedItem, policy: Policy, wording: Wording) -> frozenset[str]:
    """What is said, in its plainest words, to an item that nobody asked about."""
    try:
        cued = item.what in policy.cues
        reply = policy.cues[item.what] if cued else policy.judge(_as_clip(item.clip)).reply
    except Dropped:
        return frozenset()
    return frozenset() if reply is None else frozenset(wording.plainest(reply.text).values())


def _as_clip(clip: SourceClip) -> Clip:
    origin = Origin(clip.corpus, clip.licence, clip.attribution)
    return Clip(clip.id, "noise", Unspoken(), origin, labels=clip.labels)
