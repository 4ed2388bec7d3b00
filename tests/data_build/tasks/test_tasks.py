"""Every one of the 28 tasks, built for real: where the replies fall, and what they say.

One build of the recipe with all abilities, a few streams of each task; then the streams are read
back from disk, and each is held against what is specific to its task.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_build.labelling.sounds import as_sentence
from data_build.recipe import BuildRecipe, SplitConfig
from data_build.run import build, rebuild
from data_build.scenes.ontology import ontology
from data_build.selfcheck import check_sample
from data_build.tasks.config import TasksConfig
from data_build.tasks.table import FORMS, TASKS, rules_of
from data_build.tokenize import read_vocabulary
from data_build.wording.wording import StreamWords, wording
from soundflow.config.load import load
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamRecord, StreamSample
from tests.data_build.tasks.record_contents import content, ends, items, right, said

pytest.importorskip("py_nanotts")
pytest.importorskip("hibari")
ROOT = Path(__file__).resolve().parents[3]
EACH = 3
ABILITIES = tuple(dict.fromkeys(task.ability for task in TASKS.values()))


def all_tasks(output: Path) -> BuildRecipe:
    recipe = load(
        ROOT / "recipes/build/all_abilities.yaml", BuildRecipe,
        [f"output={output}", "workers=1", "streams_per_shard=31", "compose.max_chunks=60",
         "tasks={dialogue: {turns: [2, 4]}, "
         "sounds: {others: [1, 2], counted: [1, 3], questions: [2, 2]}, "
         "transcription: {utterances: [1, 3]}, cues: {items: [2, 4]}, "
         "translation: {utterances: [1, 2]}}"], command="build-data",
    )  # fmt: skip
    train = SplitConfig(
        streams=EACH * (len(TASKS) + len(FORMS)), voices=3, takes=2,
        tasks=dict.fromkeys(TASKS, 1.0), offline=dict.fromkeys(FORMS, 1.0),
    )  # fmt: skip
    texts = tuple(str(ROOT / name) for name in recipe.texts)
    return replace(recipe, splits={"train": train}, texts=texts)


@pytest.fixture(scope="module")
def lines() -> set[str]:
    """The lines of the grammar that the build says."""
    return set()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, lines: set[str]) -> ShardSet:
    recipe = all_tasks(tmp_path_factory.mktemp("abilities") / "data")
    expanded = StreamWords._expanded

    def noted(words: StreamWords, line: str, *slots: Any) -> str:
        lines.add(line)
        return expanded(words, line, *slots)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamWords, "_expanded", noted)
        build(recipe)
    drops = map(json.loads, (Path(recipe.output) / "drops.jsonl").read_text().splitlines())
    assert not [drop for drop in drops if drop["kind"] == "loss"]
    return ShardSet(Path(recipe.output) / "train")


@pytest.fixture(scope="module")
def by_task(built: ShardSet) -> dict[str, list[StreamSample]]:
    found: dict[str, list[StreamSample]] = defaultdict(list)
    for position in range(len(built)):
        sample = built.read(position)
        found[sample.record.task].append(sample)
    return found


def records(by_task: dict[str, list[StreamSample]], task: str) -> list[StreamRecord]:
    assert len(by_task[task]) >= EACH - 1, task
    return [sample.record for sample in by_task[task]]


def test_the_table_names_the_rules_that_the_tasks_use(built: ShardSet, lines: set[str]) -> None:
    named = rules_of(dict.fromkeys(TASKS, 1.0), dict.fromkeys(FORMS, 1.0))
    counting = TasksConfig().counting
    of_recipe = {counting.instruction, counting.reply, *counting.words}
    # Files of texts have rules of their own.
    used = {f"<{rule}>" for rule in wording().languages["en"].rules} & (lines - of_recipe)
    # Facts are found, and asked for, in the languages of the project alone.
    used = {line for line in used if not line.startswith("<recall.")}
    warnings = {line for line in used if line.startswith("<warn.")}
    assert {line[1:-1] for line in used - warnings} - set(named) == set()
    assert len(used - warnings) > 30
    assert warnings


def test_every_task_is_built_and_lies_on_disk_as_the_protocol_says(
    by_task: dict[str, list[StreamSample]],
) -> None:
    assert set(by_task) == {*TASKS, *FORMS}
    vocabulary = read_vocabulary("tiny")
    for samples in by_task.values():
        check_sample(samples[0], vocabulary)
    abilities = {s.record.ability for samples in by_task.values() for s in samples}
    assert abilities == set(ABILITIES)


@pytest.mark.parametrize("task", [t for t in TASKS if t != "transcribe_words"])
def test_replies_follow_their_events_at_once(
    by_task: dict[str, list[StreamSample]], task: str
) -> None:
    """In the chunk in which an event ends, or the next free one."""
    for record in records(by_task, task):
        chunks = [reply.chunk for reply in record.replies]
        assert chunks == sorted(set(chunks))
        answered = list(ends(record))
        assert len(answered) == len(chunks)
        free = -1
        for (event, due), reply in zip(answered, record.replies, strict=True):
            assert reply.chunk == max(due, free + 1), record.id
            assert reply.text in event.answers
            free = reply.chunk


@pytest.mark.parametrize("task", ["transcribe_words", "transcribe_in_noise"])
def test_words_are_written_while_they_are_spoken(
    by_task: dict[str, list[StreamSample]], task: str
) -> None:
    for record in records(by_task, task):
        heard, written = content(record)
        by = record.provenance["notes"]["word_times"].partition("-")[0]
        # Of English, other languages, and those without an aligner.
        assert by in ("pocketsphinx", "hama", "even")
        assert (by == "pocketsphinx") == all(i.language.startswith("en") for i in heard if i.text)
        if task == "transcribe_words":  # behind the other one there may be an alarm
            assert " ".join(written) == " ".join(i.text for i in heard)
        assert len(written) > len(heard)
        # partial transcripts come during the speech, not after it
        first = next(item for item in heard if item.text)
        assert first.reply_chunks[0] * 6_400 < first.start_samples + first.n_samples
    if task == "transcribe_in_noise":
        assert all(len(items(r)) < len(r.items) for r in records(by_task, task))


def test_utterances_are_written_at_their_end(by_task: dict[str, list[StreamSample]]) -> None:
    for record in records(by_task, "transcribe_utterances"):
        heard, written = content(record)
        assert written == [i.text for i in heard]


def test_speakers_are_told_apart(by_task: dict[str, list[StreamSample]]) -> None:
    for record in records(by_task, "transcribe_speakers"):
        numbers: dict[str, str] = {}
        for item, text in zip(*content(record), strict=True):
            who, _, words = text.partition(": ")
            assert words == item.text
            assert numbers.setdefault(item.speaker, who) == who
        assert len(set(numbers.values())) == len(numbers) >= 2


def test_segments_are_translated_when_they_end(
    by_task: dict[str, list[StreamSample]], sentences: dict[str, str]
) -> None:
    for record in records(by_task, "translate_segments"):
        heard, written = content(record)
        assert written == [sentences[i.text] for i in heard]


def test_wait_k_lags_k_words_behind(
    by_task: dict[str, list[StreamSample]], sentences: dict[str, str]
) -> None:
    for record in records(by_task, "translate_wait_k"):
        heard, written = content(record)
        whole = " ".join(written)
        wanted = " ".join(sentences[i.text] for i in heard)
        assert whole.split() == wanted.split()
        assert record.provenance["notes"]["wait_k"] == 3
        assert len(written) > len(heard)


def test_translation_only_after_the_request(
    by_task: dict[str, list[StreamSample]], sentences: dict[str, str]
) -> None:
    for record in records(by_task, "translate_on_request"):
        heard = items(record)
        if record.provenance["notes"]["instructed"]:
            assert [i.what for i in heard][:2] == ["speech", "user turn"]
            assert said(record)[1:] == [sentences[i.text] for i in heard[2:]]
            assert "I will translate." in right(record)[0]
        else:
            assert said(record) == []


def test_two_languages_are_interpreted_in_turn(
    by_task: dict[str, list[StreamSample]], sentences: dict[str, str]
) -> None:
    for record in records(by_task, "interpret_conversation"):
        heard, written = content(record)
        assert written == [sentences[i.text] for i in heard]
        assert len(set(record.provenance["notes"]["languages"])) == 2
        assert len(heard) >= 2


def test_questions_about_sounds(by_task: dict[str, list[StreamSample]]) -> None:
    several = 0
    for task, noted in (("answer_about_sound", "asked"), ("choose_sound", "choices")):
        for record in records(by_task, task):
            front = items(record)
            questions = [n for n, item in enumerate(front) if item.text]
            several += len(questions) > 1
            notes = record.provenance["notes"][noted]
            for number, at in enumerate(questions):
                assert len(front[at].reply_chunks) == 1
                if task == "answer_about_sound":
                    assert front[at].text == notes[number]
                else:
                    heard = front[at - 1].what
                    assert heard in notes[number]
                    assert any(as_sentence(heard) in answers for answers in right(record))
    assert several, "a session of several questions"
    for record in records(by_task, "describe_sound"):
        sounds, told = content(record)
        around = [*items(record, "background"), *items(record, "ambient")]
        assert len(sounds) <= len(told) <= len(sounds) + len(around)
    for record in records(by_task, "count_events"):
        *sounds, question = items(record)
        kind = record.provenance["notes"]["asked"]
        names = [sound.name for i in sounds if (sound := ontology().find(i.clip.labels[0]))]
        assert set(map(str, range(names.count(kind), 10))) & set(right(record)[-1])
        assert len(question.reply_chunks) == 1


def test_conversations(by_task: dict[str, list[StreamSample]]) -> None:
    for task in ("chat_multi_turn", "chat_with_emotion", "chat_over_background", "answer_facts"):
        for record in records(by_task, task):
            turns = [i for i in items(record) if i.what == "user turn"]
            assert len({i.speaker for i in turns}) == 1  # one voice a dialogue
            mixed = record.provenance["notes"].get("mixed_in", [])
            alarms = [i for i in record.items if i.what != "user turn" and i.reply_chunks]
            assert len(record.replies) == len(turns) + len(alarms)
            assert len(alarms) >= int("proactive" in mixed)
    emotions = [reply.emotion for r in records(by_task, "chat_with_emotion") for reply in r.replies]
    assert set(emotions) - {"normal"}
    assert all(len(items(r)) < len(r.items) for r in records(by_task, "chat_over_background"))


def test_instructions_govern_what_follows(by_task: dict[str, list[StreamSample]]) -> None:
    for record in records(by_task, "alert_on_sound"):
        notes = record.provenance["notes"]
        told = [answer for answers in right(record) for answer in answers]
        found = any(answer.startswith("That was it") for answer in told)
        assert found == (notes["watched"] == notes["target"])
    for record in records(by_task, "hold_replies"):
        front = [i for i in items(record) if i.text]
        answered = [bool(i.reply_chunks) for i in front]
        meanwhile = [not record.provenance["notes"]["everybody"]] * (len(front) - 4)
        assert answered == [True, False, *meanwhile, True, True]
        assert front[0].speaker == front[1].speaker == front[-1].speaker
    for record in records(by_task, "carry_out_instruction"):
        turns = [i for i in items(record) if i.what == "user turn"]
        others = [i for i in items(record) if i.what == "somebody else"]
        assert turns
        assert all(len(i.reply_chunks) == 1 for i in turns)
        assert not any(i.reply_chunks for i in others)
        assert {i.speaker for i in others}.isdisjoint({i.speaker for i in turns})
        assert next(i for i in items(record) if i.text).what == "user turn"


def test_only_what_calls_for_help_is_answered(by_task: dict[str, list[StreamSample]]) -> None:
    for record in records(by_task, "react_to_event"):
        assert len(record.replies) >= 1
        assert len(items(record)) >= 2
    for record in records(by_task, "react_to_events"):
        assert 2 <= len(record.replies) <= 3
        assert record.provenance["notes"]["category"] in ("distress", "hazard", "damage", "safety")
    assert all(said(r) == [] for r in records(by_task, "stay_silent"))


def test_scenes_hold_together(by_task: dict[str, list[StreamSample]]) -> None:
    for record in records(by_task, "chat_in_scene"):
        scene = record.provenance["notes"]["scene"]["scene"]
        assert 3 <= len(scene["events"]) <= 15
        assert items(record, "ambient")
        assert all(i.reply_chunks for i in items(record) if i.what == "user turn")
    for record in records(by_task, "ask_about_scene"):
        notes = record.provenance["notes"]
        question = items(record)[-1]
        assert len(question.reply_chunks) == 1
        if notes["about"] == "where":
            setting = notes["scene"]["scene"]["made_by"]["setting"].replace(" ", "_")
            options = wording().languages["en"].rules[f"place.{setting}"].options
            assert any(str(place) in said(record)[-1] for (place,) in options)
    for record in records(by_task, "warn_in_conversation"):
        kinds = [e.kind for e in record.events if e.must_respond]
        assert any(kind != "user turn" for kind in kinds)
        assert "user turn" in kinds


def test_tasks_happen_in_places(by_task: dict[str, list[StreamSample]]) -> None:
    """Under them lies their ambience, and no noise of another place."""
    placed = [
        sample.record
        for samples in by_task.values()
        for sample in samples
        if "scene" in sample.record.provenance.get("notes", {})
    ]
    assert len({record.task for record in placed}) > 5
    for record in placed:
        assert items(record, "ambient") or record.task in ("describe_sound", "alert_on_sound")
        if items(record, "ambient"):
            labels = {label for track in record.noise for c in track.clips for label in c.labels}
            assert labels <= {"Pink noise", "Noise", "Mains hum"}


def test_memory_reaches_back_three_rounds(by_task: dict[str, list[StreamSample]]) -> None:
    for record in records(by_task, "recall_conversation"):
        probe = record.provenance["notes"]["probe"]
        assert probe["at"] - probe["source_round"] >= 3
        asked = record.provenance["notes"].get("asked")
        turns = [i for i in items(record) if i.text and i.text != asked]
        assert turns[-1].text == probe["question"]
        assert said(record)[-1] == probe["answer"]
        told = turns[probe["source_round"]]
        replies = {r.chunk: r.text for r in record.replies}
        spoken = f"{told.text} {replies[told.reply_chunks[0]]}"
        assert probe["value"].lower() in spoken.lower()
        assert probe["value"].lower() not in probe["question"].lower()


def test_offline_samples_hold_one_answer(by_task: dict[str, list[StreamSample]]) -> None:
    table = read_vocabulary("tiny").spec.tokens
    for form in FORMS:
        for sample in by_task[form]:
            assert sample.record.kind == "offline"
            assert sample.ids[0] == table.offline
            assert bool(len(sample.pcm)) == (form != "t_t")
            assert (table.user in sample.ids) == (form != "a_t")
            assert (table.audio_pad in sample.ids) == (form != "t_t")
            assert int((sample.roles == 2).sum()) > 3


QUICK = ("environment_agent", "real_time_asr")


@pytest.mark.parametrize(
    "ability",
    [a if a in QUICK else pytest.param(a, marks=pytest.mark.slow) for a in ABILITIES],
)
def test_one_stream_of_every_ability_is_rebuilt_alone(built: ShardSet, ability: str) -> None:
    numbers = range(len(built))
    position = next(i for i in numbers if built.record(i).ability == ability)
    whole = built.read(position)
    folder = rebuild(all_tasks(Path(built.folder).parent), whole.record.id)
    alone = ShardSet(folder).read(0)
    assert alone.record == whole.record
    assert np.array_equal(alone.pcm, whole.pcm)
    assert np.array_equal(alone.ids, whole.ids)


@pytest.fixture(scope="module")
def sentences() -> dict[str, str]:
    """Text -> translation, of the file that the recipe names."""
    lines = (ROOT / "recipes/build/material/translations.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["text"]: row["translation"] for row in rows}
