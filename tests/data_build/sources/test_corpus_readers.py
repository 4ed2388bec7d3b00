"""Every corpus in its own layout: what comes out, in which order, with which licence."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_build.drops import Drop
from data_build.records import Clip, Dialogue, DialogueTurn, Word
from data_build.sources.audio_refs import audio_source
from data_build.sources.catalogue import CORPORA
from data_build.sources.source import SourceConfig
from soundflow.audio.files import read_audio
from soundflow.errors import UserError
from tests.data_build.sources import sound_miniatures, speech_miniatures
from tests.data_build.sources.making import tone, write, write_json_lines
from tests.data_build.sources.miniatures import MINIATURES, ReadAll

Corpora = dict[str, SourceConfig]


def clips(items: list[Clip | Dialogue]) -> list[Clip]:
    assert all(isinstance(i, Clip) for i in items)
    return [i for i in items if isinstance(i, Clip)]


def dialogues(items: list[Clip | Dialogue]) -> list[Dialogue]:
    assert all(isinstance(i, Dialogue) for i in items)
    return [i for i in items if isinstance(i, Dialogue)]


def line_of(drop: Drop) -> str:
    """The line number of "table:3 (what is particular about it)"."""
    return drop.item.partition(" (")[0].rpartition(":")[2]


def test_every_corpus_has_a_miniature() -> None:
    assert set(MINIATURES) == set(CORPORA)


@pytest.mark.parametrize("corpus", CORPORA)
def test_items_are_whole(corpus: str, corpora: Corpora, read_all: ReadAll) -> None:
    items, _ = read_all(corpora[corpus])
    assert items
    assert len({i.id for i in items}) == len(items)
    for item in items:
        assert item.origin.corpus
        assert item.origin.licence
        if isinstance(item, Dialogue):
            assert "dialogue" in CORPORA[corpus].yields
            assert item.turns
            continue
        assert item.kind in CORPORA[corpus].yields
        samples = read_audio(
            audio_source(item.audio), start_s=item.audio.start_s, end_s=item.audio.end_s
        )
        if item.audio.end_s is not None:
            # Lossy containers may end some samples early; the span itself is what counts.
            expected_s = item.audio.end_s - item.audio.start_s
            assert len(samples) == pytest.approx(expected_s * 16_000, abs=800)


@pytest.mark.parametrize("corpus", CORPORA)
def test_ids_and_order_do_not_depend_on_where_the_corpus_lies(
    corpus: str, corpora: Corpora, read_all: ReadAll, tmp_path: Path
) -> None:
    other, _ = read_all(MINIATURES[corpus](tmp_path / "elsewhere" / corpus))
    here, _ = read_all(corpora[corpus])
    assert [i.id for i in other] == [i.id for i in here]


def test_librispeech_words_end_where_the_alignment_says(
    corpora: Corpora, read_all: ReadAll
) -> None:
    found, drops = read_all(corpora["librispeech"])
    assert [c.id for c in found] == ["103-1240-0000", "103-1240-0001", "19-198-0000"]
    aligned = clips(found)[2]
    assert (aligned.text, aligned.speaker) == ("NORTHANGER ABBEY", "19")
    assert aligned.words == (Word("NORTHANGER", 0.02, 0.08), Word("ABBEY", 0.09, 0.17))
    assert not drops


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('19-198-0000 "A,B" "0.1"', "different numbers of words"),
        ('19-198-0000 "A,B" "0.5,0.1"', "not in order of time"),
        ('19-198-0000 "A" "1.2.3"', "an invalid time"),
        ("19-198-0000 A B", "cannot be read"),
    ],
)
def test_librispeech_bad_alignment_is_a_drop(
    line: str, reason: str, tmp_path: Path, read_all: ReadAll
) -> None:
    config = speech_miniatures.librispeech(tmp_path)
    write(tmp_path / "LibriSpeech/train-clean-100/19/198/19-198.alignment.txt", line)
    items, drops = read_all(config)
    assert len(items) == 2
    assert [reason in d.reason for d in drops] == [True]
    assert "19-198.trans.txt:1" in drops[0].item


def test_common_voice_keeps_quotes_and_old_paths(tmp_path: Path, read_all: ReadAll) -> None:
    config = speech_miniatures.common_voice(tmp_path)
    items, drops = read_all(config)
    assert clips(items)[0].text == 'He said "go'
    assert not drops
    table = Path(config.root) / "en" / "train.tsv"
    # Releases 1 to 3: another column set, paths without their suffix.
    write(
        table,
        "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent",
        "s\tcommon_voice_en_0\tHello.\t2\t0\t\t\t",
        "s\tmissing\tHello.\t2\t0\t\t\t",
        "s\tcommon_voice_en_1\tshort row",
    )
    items, drops = read_all(config)
    assert [i.id for i in items] == ["common_voice_en_0"]
    assert clips(items)[0].language == "en"
    assert [line_of(d) for d in drops] == ["3", "4"]


def test_common_voice_asks_which_language(tmp_path: Path, read_all: ReadAll) -> None:
    config = speech_miniatures.common_voice(tmp_path)
    (Path(config.root) / "de" / "clips").mkdir(parents=True)
    with pytest.raises(UserError, match="de, en"):
        read_all(SourceConfig("common_voice", config.root))


def test_gigaspeech_writes_marks_and_passes_over_garbage(
    corpora: Corpora, read_all: ReadAll
) -> None:
    items, drops = read_all(corpora["gigaspeech"])
    assert [c.text for c in clips(items)] == ["HELLO THERE, JOHN."] * 2
    assert [c.id for c in items] == ["POD0000000000_S0000000", "POD0000000001_S0000000"]
    assert not drops
    everything, _ = read_all(SourceConfig("gigaspeech", corpora["gigaspeech"].root))
    assert len(everything) == 3


def test_voxpopuli_prefers_the_written_text(corpora: Corpora, read_all: ReadAll) -> None:
    items, _ = read_all(corpora["voxpopuli"])
    assert [c.text for c in clips(items)] == [
        "Mr President, thank you.",
        "mister president thank you",
    ]
    assert {c.language for c in clips(items)} == {"en"}


def test_aishell_text_has_no_blanks_and_untranscribed_audio_is_reported(
    tmp_path: Path, read_all: ReadAll
) -> None:
    config = speech_miniatures.aishell(tmp_path)
    tone(tmp_path / "data_aishell/wav/train/S0009/BAC009S0009W0001.wav")
    items, drops = read_all(config)
    assert [c.text for c in clips(items)] == ["而对楼市成交", "抑制作用最大的"]
    assert [c.speaker for c in clips(items)] == ["S0000", "S0001"]
    assert "no line" in drops[0].reason


def test_aishell_points_at_packed_speakers(tmp_path: Path, read_all: ReadAll) -> None:
    config = speech_miniatures.aishell(tmp_path)
    (tmp_path / "data_aishell/wav/dev").mkdir()
    with pytest.raises(UserError, match="unpack"):
        read_all(SourceConfig("aishell", config.root, split="dev"))


def test_covost_unescapes_and_joins_the_downloaded_table(tmp_path: Path, read_all: ReadAll) -> None:
    config = speech_miniatures.covost2(tmp_path)
    ready, _ = read_all(config)
    assert [c.translation for c in clips(ready)] == ["你好。", "再见\t朋友。"]
    assert clips(ready)[0].translation_language == "zh-CN"
    (tmp_path / "covost_v2.en_zh-CN.train.tsv").unlink()
    write(
        tmp_path / "covost_v2.en_zh-CN.tsv",
        "path\ttranslation\tsplit",
        "common_voice_en_1.mp3\t再见\\\t朋友。\ttrain_covost",
        "common_voice_en_0.mp3\t你好。\ttrain",
        "common_voice_en_9.mp3\t测试\ttest",
    )
    write(
        tmp_path / "validated.tsv",
        "client_id\tpath\tsentence",
        "speaker0\tcommon_voice_en_0.mp3\tSentence 0.",
        "speaker1\tcommon_voice_en_1.mp3\tSentence 1.",
        "speaker2\tcommon_voice_en_9.mp3\tSentence 9.",
    )
    joined, drops = read_all(config)
    assert joined == ready
    assert not drops


def test_audioset_names_labels_and_reports_what_left(corpora: Corpora, read_all: ReadAll) -> None:
    items, drops = read_all(corpora["audioset"])
    assert [c.labels for c in clips(items)] == [("Domestic animals, pets", "Squeak"), ("Hammer",)]
    assert clips(items)[0].notes == {"mids": ["/m/068hy", "/m/07q6cd_"]}
    assert [(line_of(d), "missing" in d.reason) for d in drops] == [("6", True)]


def test_audioset_ontology_in_place_of_the_index_and_strong_labels(
    tmp_path: Path, read_all: ReadAll
) -> None:
    config = sound_miniatures.audioset(tmp_path)
    (tmp_path / "class_labels_indices.csv").unlink()
    node = (
        '{"id": "/m/03l9g", "name": "Hammer", "description": "", "citation_uri": "",'
        ' "positive_examples": [], "child_ids": [], "restrictions": []}'
    )
    write(tmp_path / "ontology.json", f"[{node}]")
    items, _ = read_all(config)
    assert clips(items)[1].labels == ("Hammer",)
    assert clips(items)[0].labels == ("/m/068hy", "/m/07q6cd_")
    tone(tmp_path / "audio" / "unbalanced_train_segments" / "b0RFKhbpFJA_30000.wav", 1.0)
    write(
        tmp_path / "audioset_train_strong.tsv",
        "segment_id\tstart_time_seconds\tend_time_seconds\tlabel",
        "b0RFKhbpFJA_30000\t0.250\t0.750\t/m/03l9g",
        "b0RFKhbpFJA_30000\t0.750\t0.250\t/m/03l9g",
        "noseparator\t0.1\t0.2\t/m/03l9g",
    )
    strong, drops = read_all(SourceConfig("audioset", str(tmp_path), split="train_strong"))
    assert [(c.audio.start_s, c.audio.end_s, c.labels) for c in clips(strong)] == [
        (0.25, 0.75, ("Hammer",))
    ]
    assert len(drops) == 2


def test_esc50_folds_and_the_licence_of_each_clip(corpora: Corpora, read_all: ReadAll) -> None:
    items, _ = read_all(corpora["esc50"])
    assert [(c.labels, c.origin.licence) for c in clips(items)] == [
        (("dog",), "CC-BY-3.0"),
        (("vacuum cleaner",), "CC-BY-NC-3.0"),
    ]
    second, _ = read_all(SourceConfig("esc50", corpora["esc50"].root, split="2"))
    assert [i.id for i in second] == ["2-100032-A-36"]


def test_fma_reads_its_three_header_rows(corpora: Corpora, read_all: ReadAll) -> None:
    items, drops = read_all(corpora["fma"])
    # Track 3 belongs to a larger subset than the folder that is there: neither read nor dropped.
    assert [(c.id, c.labels) for c in clips(items)] == [
        ("000002", ("Hip-Hop",)),
        ("000005", ("Pop", "Rock")),
    ]
    assert clips(items)[0].caption == "Food, or\nfood"
    assert clips(items)[1].origin.licence == "Attribution"
    assert not drops
    test, _ = read_all(SourceConfig("fma", corpora["fma"].root, split="test"))
    assert [i.id for i in test] == ["000005"]


def test_musan_splits(corpora: Corpora, read_all: ReadAll) -> None:
    root = corpora["musan"].root
    noise, _ = read_all(SourceConfig("musan", root))
    music, _ = read_all(SourceConfig("musan", root, split="music"))
    assert noise[0].id == "noise/free-sound/noise-free-sound-0000"
    assert clips(music)[0].labels == ("country", "folk")
    assert clips(music)[0].notes == {"vocals": True}
    with pytest.raises(UserError, match="known: noise, music, speech"):
        read_all(SourceConfig("musan", root, split="train"))


def test_wham_and_dns_names(corpora: Corpora, read_all: ReadAll, tmp_path: Path) -> None:
    train, _ = read_all(SourceConfig("wham", corpora["wham"].root, split="train"))
    assert [i.id[:3] for i in train] == ["tr/"]
    assert clips(train)[0].texture == "ambient"
    dns, _ = read_all(corpora["dns_noise"])
    assert [c.labels for c in clips(dns)] == [(), ("door bell",)]
    tone(tmp_path / "datasets_fullband" / "noise_fullband" / "rain_Freesound_validated_1_2.wav")
    full, _ = read_all(SourceConfig("dns_noise", str(tmp_path)))
    assert clips(full)[0].labels == ("rain",)


def test_moss_in_its_three_forms(corpora: Corpora, read_all: ReadAll) -> None:
    items, drops = read_all(corpora["moss"])
    found = dialogues(items)
    assert found[0].turns[1] == DialogueTurn("Thanks.", "Welcome.")
    assert found[1].turns == (
        DialogueTurn("你好，最近怎么样？", "我很好。"),
        DialogueTurn("再见", "再见！"),
    )
    assert found[2].turns == (DialogueTurn("Write a line.", "Here it is."),)
    assert [d.language for d in found] == ["en", "zh", "en"]
    assert not drops


def test_chats_that_do_not_alternate_are_reported(tmp_path: Path, read_all: ReadAll) -> None:
    write_json_lines(
        tmp_path / "x.jsonl",
        {"data": ["only a question"]},
        {"data": ["q", ""]},
        {"data": "q"},
        {"data": [1, 2]},
        {"messages": [{"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}]},
        {"messages": [{"role": "user", "content": "q"}, {"role": "user", "content": "q"}]},
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"},
                      {"role": "assistant", "content": "a"}, {"role": "user", "content": "left"}]},
    )  # fmt: skip
    items, drops = read_all(SourceConfig("ultrachat", str(tmp_path)))
    assert [d.turns for d in dialogues(items)] == [(DialogueTurn("q", "a"),)]
    assert [line_of(d) for d in drops] == ["1", "2", "3", "4", "5", "6"]


def test_belle_rounds_inside_an_instruction(corpora: Corpora, read_all: ReadAll) -> None:
    found = dialogues(read_all(corpora["belle"])[0])
    assert found[0].turns == (
        DialogueTurn("你好", "你好！"),
        DialogueTurn("讲个笑话", "从前有座山。"),
    )
    assert found[1].turns == (DialogueTurn("给出一个同义词。\n高兴", "快乐"),)
    assert found[2].turns[0].assistant == "蓝色。"


def test_coig_full_file_does_not_repeat_the_folders(corpora: Corpora, read_all: ReadAll) -> None:
    folders, _ = read_all(corpora["coig_cqia"])
    full, _ = read_all(
        SourceConfig("coig_cqia", f"{corpora['coig_cqia'].root}/COIG-CQIA-full.jsonl")
    )
    assert [d.turns for d in dialogues(folders)] == [d.turns for d in dialogues(full)]
    wiki, _ = read_all(SourceConfig("coig_cqia", corpora["coig_cqia"].root, subset="wiki"))
    assert len(wiki) == 1


def test_answers_in_every_shape(corpora: Corpora, read_all: ReadAll) -> None:
    turns = {
        corpus: [d.turns[0].assistant for d in dialogues(read_all(corpora[corpus])[0])]
        for corpus in ("gammacorpus_fact_qa", "dureader", "webqa", "qa_json")
    }
    assert turns == {
        "gammacorpus_fact_qa": ["Paris", "Eight"],
        "dureader": ["第35集", "大约五千元。"],
        "webqa": ["甲", "甲"],
        "qa_json": ['Jamaican "Creole"', "Rembrandt"],
    }
    _, drops = read_all(corpora["dureader"])
    assert [d.reason for d in drops] == ["has no answer"]
