"""A conversation in a place: the sounds of the place among its turns, and questions about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from data_build.drops import Dropped
from data_build.plans import AskLatest, AskPlace, Item, Turn
from data_build.pools.pools import Pools
from data_build.randomness import StreamSeed
from data_build.records import Dialogue, DialogueTurn
from data_build.scenes.scene import Scene
from data_build.scenes.source import CuratedScene
from data_build.tasks.config import PlacesConfig
from data_build.tasks.context import Planned, PlannerContext, PlannerResources, sound_item
from data_build.tasks.in_scene import in_scene
from data_build.tasks.session import Place
from tests.data_build.tasks.test_planners import (
    CONFIG,
    OWN,
    POOLS,
    Voices,
    prepare,
    sound,
    speech,
    stream_words,
    timed,
)

FRONT = tuple(sound_item(sound(label, 9)) for label in ("footsteps", "doorbell"))
AROUND = (replace(sound_item(sound("rain", 9)), track="ambient"),)
KITCHEN = Scene("S.", "in a kitchen", "in", "noon", 9.0, (), {"setting": "kitchen"})
PLACE = Place(FRONT, AROUND, CuratedScene(KITCHEN, ()))


def talk(language: str = "en", least: int | None = 2) -> Planned:
    turns = tuple(Item(speech(text), "user turn", address=Turn("Yes.")) for text in "abcd")
    return Planned(turns, {"dialogue": "d"}, least=least, language=language)


def context(number: int, share: float = 1.0, pools: Pools = POOLS) -> PlannerContext:
    resources = PlannerResources(cast(Any, Voices()), prepare, timed)
    config = replace(CONFIG, places=PlacesConfig(asked_share=share))
    seed, words = StreamSeed(1, "train", number), stream_words(number)
    return PlannerContext.of(pools, resources, config, 20.0, seed, words, [].append)


def in_kitchen(number: int, planned: Planned, share: float = 1.0, *, asked: bool = True) -> Planned:
    return in_scene(context(number, share), planned, PLACE, asked=asked)


def dialogue(name: str, *places: str) -> Dialogue:
    return Dialogue(name, (DialogueTurn(f"{name} user", "yes"),) * 2, OWN, "en", places)


def test_the_user_asks_about_a_sound_right_after_it_or_about_the_place_late() -> None:
    asked = set()
    for number in range(60):
        planned = in_kitchen(number, talk())
        items = planned.items
        (question,) = (i for i in items if isinstance(i.address, AskLatest | AskPlace))
        at = items.index(question)
        assert planned.notes == {"dialogue": "d", "asked": question.clip.text}
        assert planned.least is not None
        assert planned.least > at
        if isinstance(question.address, AskLatest):
            assert items[at - 1] in FRONT
        else:
            assert question.address == AskPlace("kitchen")
            assert items[at + 1].clip.text == "d"
        asked.add(type(question.address))
    assert asked == {AskLatest, AskPlace}


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_its_sounds_come_among_the_turns_which_keep_their_order(share: float) -> None:
    for number in range(30):
        planned = in_kitchen(number, talk(), share)
        said = [i.clip.text for i in planned.items if isinstance(i.address, Turn)]
        assert said == list("abcd")
        assert [i for i in planned.items if i in FRONT] == list(FRONT)
        assert planned.items[-1:] == AROUND
        assert planned.items[-2].clip.text == "d"
        assert planned.place is PLACE


def test_nobody_asks_where_that_is_not_wanted_or_cannot_be_said() -> None:
    for number in range(20):
        for planned in (
            in_kitchen(number, talk(), 0.0),
            in_kitchen(number, talk(), asked=False),
            in_kitchen(number, talk("pl")),
        ):
            assert all(isinstance(i.address, Turn | None) for i in planned.items)
            assert "asked" not in planned.notes
    assert in_kitchen(0, talk(least=None)).least is None


def test_talk_makes_sense_where_it_is() -> None:
    anywhere, cooking, farming = dialogue("a"), dialogue("b", "kitchen"), dialogue("c", "farm")
    pools = replace(POOLS, dialogues=[anywhere, cooking, farming])
    drawn = [context(n, pools=pools).dialogue_in(PLACE).id for n in range(60)]
    assert set(drawn) == {"a", "b"}
    assert drawn.count("b") > 30  # what is about the place is drawn more often
    with pytest.raises(Dropped, match="makes sense in the place"):
        context(0, pools=replace(POOLS, dialogues=[farming])).dialogue_in(PLACE)


def test_conversations_that_are_joined_make_sense_in_the_same_places() -> None:
    both = dialogue("d", "farm", "kitchen", "office")
    others = [dialogue("a"), dialogue("b", "kitchen"), dialogue("c", "farm"), both]
    for number in range(40):
        ctx = context(number, pools=replace(POOLS, dialogues=others))
        apart = ctx.session(both)
        names = set(apart.id.split("+"))
        assert not {"b", "c"} <= names
        assert apart.places == next(
            (o.places for o in others[1:3] if o.id in names), ("farm", "kitchen", "office")
        )
        assert "c" not in ctx.session(others[0], PLACE).id.split("+")


def test_conversations_of_one_theme_do_not_follow_each_other() -> None:
    alike = [replace(dialogue(name), theme="t") for name in "abc"]
    pools = replace(POOLS, dialogues=[*alike, dialogue("d"), dialogue("e")])
    for number in range(30):
        joined = context(number, pools=pools).session(alike[0]).id.split("+")
        assert set(joined) <= {"a", "d", "e"}
        assert len(set(joined)) == len(joined)
