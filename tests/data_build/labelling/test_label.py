"""One stage decides what deserves a reply: the same in every task, from what is audible alone."""

from __future__ import annotations

import pytest

from data_build.drops import Dropped
from data_build.labelling.label import fits_under, label
from data_build.labelling.policy import CuedSound, Policy, policy
from data_build.plans import (
    Address,
    AskCount,
    AskLatest,
    AskOrder,
    AskPlace,
    AudibleItem,
    Chat,
    CountSound,
    DescribeSounds,
    Instruction,
    Item,
    KeepQuiet,
    Request,
    StreamPlan,
    Transcribe,
    Translate,
    Turn,
    WatchFor,
)
from data_build.records import Clip, Origin, PlannedReply, Prepared, Recorded, TrackRole, Word
from data_build.wording.wording import SplitWording, wording

OWN = Origin("test", "CC0-1.0")
RULES = policy([CuedSound("beep", None, None), CuedSound("hello", None, PlannedReply("Hi."))])
WORDS = SplitWording.of(wording(), "train", {"train": 1.0}).stream("test")
SIREN = "A siren is close by. Make way if you are on the road."


def sound(name: str, track: TrackRole = "foreground", *, cue: str = "") -> Item:
    clip = Clip(name, "event", Recorded(name), OWN, labels=(name,))
    return Item(clip, cue or name, track, is_cue=bool(cue))


def speech(text: str, address: Address | None = None, by: str = "user") -> Item:
    words = tuple(Word(w, n * 0.3, n * 0.3 + 0.2) for n, w in enumerate(text.split()))
    clip = Clip(
        text, "speech", Prepared(text), OWN, text=text, speaker=by, words=words,
        translation=text.upper(),
    )  # fmt: skip
    return Item(clip, "speech", address=address)


def said(
    *items: Item,
    instruction: Instruction | None = None,
    onsets: int | None = 1,
    rules: Policy = RULES,
) -> list[list[str]]:
    """The replies, in their plainest wording, to items that come one after another; those behind
    last from 0 on.
    """
    audible = [
        AudibleItem(item, 16_000 * n + (item.track == "foreground"), 16_000 * n + 9_000, onsets)
        for n, item in enumerate(items)
    ]
    plan = StreamPlan("s", "a", "t", "", instruction or Chat(), items, len(items))
    return [[r.plain for r in replies] for replies in label(plan, audible, rules, WORDS).replies]


TURN = speech("how are you", Turn("Fine."))


@pytest.mark.parametrize(
    "instruction",
    [Chat(), Transcribe("word"), Translate(), CountSound("beep", ("One.",)), WatchFor("Bark", "b")],
)
@pytest.mark.parametrize("track", ["foreground", "background", "ambient"])
def test_an_alarm_is_an_alarm_under_every_instruction_on_every_track(
    instruction: Instruction, track: TrackRole
) -> None:
    assert said(sound("Siren", track), instruction=instruction) == [[SIREN]]


def test_an_alarm_is_an_alarm_before_a_question_and_while_the_assistant_is_quiet() -> None:
    quiet = speech("be quiet", Request(KeepQuiet(everybody=True), PlannedReply("All right.")))
    assert said(quiet, sound("Siren"), TURN) == [["All right."], [SIREN], []]
    bless = policy([CuedSound("sneeze", "Sneeze", PlannedReply("Bless you."))])
    assert said(sound("Sneeze"), quiet, sound("Sneeze"), sound("Siren"), rules=bless) == [
        ["Bless you."], ["All right."], [], [SIREN],
    ]  # fmt: skip
    ask = speech("how many", AskCount("Siren"))
    assert said(sound("Siren"), sound("Rain"), ask) == [[SIREN], [], ["One."]]


def test_what_is_asked_for_comes_before_the_warning() -> None:
    assert said(sound("Siren"), instruction=WatchFor("Siren", "siren")) == [
        [f"That was it: a siren. {SIREN}"]
    ]
    assert said(sound("Bark"), instruction=WatchFor("Dog", "dog")) == [["That was it: a dog."]]
    assert said(sound("Rain"), instruction=DescribeSounds()) == [["Rain."]]
    with pytest.raises(Dropped, match="not known"):
        said(sound("Dog"), instruction=WatchFor("Bark", "bark"))


def test_without_an_instruction_only_what_is_addressed_is_answered() -> None:
    hello = Item(speech("hello").clip, "hello", is_cue=True)
    assert said(speech("the kettle is on"), TURN, sound("Bark"), hello) == [
        [],
        ["Fine."],
        [],
        ["Hi."],
    ]


def test_the_instruction_in_force_governs_the_speech_of_others() -> None:
    item = speech("good day")
    assert said(item, instruction=Transcribe("word")) == [["good", "day"]]
    assert said(item, instruction=Transcribe("utterance")) == [["good day"]]
    assert said(item, instruction=Translate()) == [["GOOD DAY"]]
    two = [speech("a", by="x"), speech("b", by="y"), speech("c", by="x")]
    assert said(*two, instruction=Transcribe("speaker")) == [
        ["Speaker 1: a"], ["Speaker 2: b"], ["Speaker 1: c"],
    ]  # fmt: skip
    request = speech("translate", Request(Translate(), PlannedReply("I will.")))
    assert said(item, request, item) == [[], ["I will."], ["GOOD DAY"]]


def test_quiet_silences_the_one_who_asked_for_it_until_it_ends() -> None:
    guest = speech("who are you", Turn("Flow."), by="guest")
    go_on = speech("go on", Request(Chat(), PlannedReply("I am back.")))
    for everybody, answered in ((False, ["Flow."]), (True, [])):
        quiet = speech("quiet", Request(KeepQuiet(everybody), PlannedReply("Yes.")))
        assert said(quiet, TURN, guest, go_on, TURN) == [
            ["Yes."], [], answered, ["I am back."], ["Fine."],
        ]  # fmt: skip


def test_sounds_are_counted_aloud_by_their_cue() -> None:
    count = CountSound("beep", ("One.", "Two."))
    beeps = [sound("Beep, bleep", cue="beep") for _ in range(3)]
    other = sound("Beep, bleep", cue="timer")
    assert said(beeps[0], other, *beeps[1:], instruction=count) == [
        ["One."], [], ["Two."], ["Three."],
    ]  # fmt: skip
    assert said(*beeps) == [[], [], []]
    with pytest.raises(Dropped, match="cannot be told"):
        said(beeps[0], instruction=count, onsets=None)


def test_a_count_counts_sounds_wherever_they_are() -> None:
    ask = speech("how many", AskCount("Bark"))
    items = (sound("Bark"), sound("Bark", "background"), sound("Rain"), ask)
    assert said(*items)[-1] == ["Two."]
    assert said(*items, onsets=3)[-1] == ["Six."]
    for wrong in (sound("Tick-tock"), sound("Dog")):  # a ticking clock; a dog that may bark
        with pytest.raises(Dropped, match="cannot be told"):
            said(wrong, speech("how many", AskCount(wrong.what if wrong.what != "Dog" else "Bark")),
                 onsets=12)  # fmt: skip


def test_the_last_sound_may_lie_behind() -> None:
    last = speech("what was last", AskOrder("last"))
    assert said(sound("Bark"), sound("Doorbell", "background"), last)[-1] == ["A doorbell."]
    assert said(sound("Bark"), sound("Rain", "ambient"), last)[-1] == ["A dog's bark."]
    newest = speech("what was that", AskLatest())
    assert said(sound("Bark"), newest)[-1] == ["A dog's bark."]
    with pytest.raises(Dropped, match="not ended"):
        said(newest)


def test_the_first_sound_is_asked_for_after_three_others() -> None:
    first = speech("what was first", AskOrder("first"))
    names = ("Bark", "Doorbell", "Knock", "Cough")
    assert said(*map(sound, names), first)[-1] == ["A dog's bark."]
    with pytest.raises(Dropped, match="fewer than three"):
        said(*map(sound, names[:3]), first)
    with pytest.raises(Dropped, match="repeated"):
        said(*map(sound, names), sound("Bark"), first)


def test_a_place_is_asked_for_where_its_sounds_tell_it() -> None:
    where = speech("where am I", AskPlace("kitchen"))
    kitchen = ("Frying (food)", "Chopping (food)", "Cupboard open or close", "Microwave oven")
    assert said(*map(sound, kitchen), where)[-1] == ["You seem to be in a kitchen."]
    with pytest.raises(Dropped, match="cannot be told"):
        said(sound("Bark"), where)


def test_noise_under_a_stream_contradicts_no_label() -> None:
    def allowed(*items: Item, instruction: Instruction | None = None, scene: str = "") -> set[str]:
        plan = StreamPlan("s", "a", "t", "", instruction or Chat(), items, 1, scene=scene)
        fits = fits_under(plan, RULES)
        names = ("Siren", "Fire", "Rain", "Pink noise", "Bark")
        clips = [Clip(n, "noise", Recorded(n), OWN, labels=(n,)) for n in names]
        clips.append(Clip("unnamed", "noise", Recorded("u"), OWN))
        return {clip.id for clip in clips if fits(clip)}

    assert allowed(TURN) == {"Rain", "Pink noise", "Bark", "unnamed"}
    assert allowed(instruction=WatchFor("Dog", "dog")) == {"Rain", "Pink noise", "unnamed"}
    assert allowed(speech("how many", AskCount("Rain"))) == {"Pink noise", "Bark", "unnamed"}
    for any_sound in (
        AskLatest(),
        AskOrder("last"),
        Request(DescribeSounds(), PlannedReply("Yes.")),
    ):
        assert allowed(speech("?", any_sound)) == {"Pink noise"}
    assert allowed(instruction=DescribeSounds()) == {"Pink noise"}
    street = Clip("street", "noise", Recorded("s"), OWN, labels=("city_street",))
    assert allowed(TURN, scene="At noon in a kitchen.") == {"Pink noise"}
    for scene, fits in (("", True), ("At noon in a kitchen.", False)):
        plan = StreamPlan("s", "a", "t", "", Chat(), (TURN,), 1, scene=scene)
        assert fits_under(plan, RULES)(street) is fits


def test_what_began_before_it_was_asked_for_is_not_told_as_new() -> None:
    describe = speech("describe", Request(DescribeSounds(), PlannedReply("I will.")))
    assert said(describe, sound("Rain")) == [["I will."], ["Rain."]]
    audible = [
        AudibleItem(describe, 1_000, 9_000),
        AudibleItem(sound("Rain", "ambient"), 0, 90_000),
    ]
    plan = StreamPlan("s", "a", "t", "", Chat(), (describe, sound("Rain", "ambient")), 1)
    with pytest.raises(Dropped, match="began before"):
        label(plan, audible, RULES, WORDS)
    room = sound("Inside, large room or hall", "ambient")
    assert said(room, sound("Bark"), instruction=DescribeSounds()) == [[], ["A dog's bark."]]


def test_a_choice_has_one_right_answer() -> None:
    ask = speech("rain or bark", AskLatest(("rain", "bark")))
    assert said(sound("Wind", "ambient"), sound("Bark"), ask)[-1] == ["A dog's bark."]
    with pytest.raises(Dropped, match="several of the sounds"):
        said(sound("Rain", "ambient"), sound("Bark"), ask)


def test_the_labels_know_the_noise_under_the_stream() -> None:
    """What is asked is settled with the noise; one that deserves a reply is no noise."""

    def under(noise: str, *items: Item, instruction: Instruction | None = None) -> list[str]:
        audible = [AudibleItem(i, 16_000 * n + 1, 16_000 * n + 9_000) for n, i in enumerate(items)]
        bed = AudibleItem(sound(noise, "ambient"), 0, 16_000 * len(items), None)
        plan = StreamPlan("s", "a", "t", "", instruction or Chat(), items, 1)
        labelled = label(plan, [*audible, bed], RULES, WORDS)
        return [r.plain for replies in labelled.replies for r in replies]

    bark = sound("Bark")
    for question in (AskLatest(), AskOrder("last")):
        assert under("Pink noise", bark, speech("?", question)) == ["A dog's bark."]
        with pytest.raises(Dropped, match="noise under the stream"):
            under("Rain", bark, speech("?", question))
    assert under("Rain", bark, speech("how many", AskCount("Bark"))) == ["One."]
    for noise, instruction in (
        ("Siren", Chat()),
        ("Rain", DescribeSounds()),
        ("Dog", WatchFor("Bark", "b")),
    ):
        with pytest.raises(Dropped, match="noise under the stream"):
            under(noise, sound("Knock"), instruction=instruction)
    kitchen = ("Frying (food)", "Chopping (food)", "Cupboard open or close", "Microwave oven")
    where = speech("where am I", AskPlace("kitchen"))
    assert under("Pink noise", *map(sound, kitchen), where) == ["You seem to be in a kitchen."]
