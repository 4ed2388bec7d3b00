"""Tiny copies of every corpus in its published layout, with real audio in the real container."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from data_build.drops import Drop
from data_build.records import Clip, Dialogue
from data_build.sources.source import SourceConfig

ReadAll = Callable[[SourceConfig], tuple[list[Clip | Dialogue], list[Drop]]]

RATE_HZ = 16_000


def tone(path: Path, seconds: float = 0.2, rate_hz: int = RATE_HZ, hz: float = 440.0) -> Path:
    """A tone in the container that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)
    opus = path.suffix == ".opus"
    soundfile.write(
        path,
        wave.astype(np.float32),
        rate_hz,
        format="OGG" if opus else path.suffix[1:].upper(),
        subtype="OPUS" if opus else None,
    )
    return path


def tone_bytes(suffix: str = "flac", hz: float = 440.0) -> bytes:
    buffer = io.BytesIO()
    wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(3200) / RATE_HZ)
    soundfile.write(buffer, wave.astype(np.float32), RATE_HZ, format=suffix.upper())
    return buffer.getvalue()


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_json_lines(path: Path, *rows: object) -> Path:
    return write(path, *(json.dumps(row, ensure_ascii=False) for row in rows))


def librispeech(root: Path) -> SourceConfig:
    for speaker, chapter, texts in (
        ("103", "1240", ("CHAPTER ONE MISSUS RACHEL", "THAT HAD ITS SOURCE")),
        ("19", "198", ("NORTHANGER ABBEY",)),
    ):
        folder = root / "LibriSpeech" / "train-clean-100" / speaker / chapter
        names = [f"{speaker}-{chapter}-{i:04d}" for i in range(len(texts))]
        for name in names:
            tone(folder / f"{name}.flac")
        lines = [f"{n} {t}" for n, t in zip(names, texts, strict=True)]
        write(folder / f"{speaker}-{chapter}.trans.txt", *lines)
    aligned = root / "LibriSpeech/train-clean-100/19/198/19-198.alignment.txt"
    write(aligned, '19-198-0000 ",NORTHANGER,,ABBEY," "0.020,0.080,0.090,0.170,0.200"')
    write(root / "LibriSpeech" / "SPEAKERS.TXT", ";ID  |SEX| SUBSET           |MINUTES| NAME")
    write(root / "LibriSpeech" / "README.TXT", "not a transcript")
    return SourceConfig("librispeech", str(root), split="train-clean-100")


COMMON_VOICE_COLUMNS = (
    "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender"
    "\taccents\tvariant\tlocale\tsegment"
)


def common_voice(root: Path) -> SourceConfig:
    folder = root / "cv-corpus-17.0-2024-03-15" / "en"
    rows = []
    for number, sentence in enumerate(('He said "go', "It's a tab-free line.", "Third.")):
        name = f"common_voice_en_{number}.mp3"
        tone(folder / "clips" / name, rate_hz=48_000)
        rows.append(f"speaker{number}\t{name}\ts{number}\t{sentence}\t\t2\t0\t\t\t\t\ten\t")
    write(folder / "train.tsv", COMMON_VOICE_COLUMNS, *rows)
    write(folder / "clip_durations.tsv", "clip\tduration[ms]", "common_voice_en_0.mp3\t200")
    return SourceConfig("common_voice", str(folder.parent), language="en")


def gigaspeech(root: Path) -> SourceConfig:
    audios = []
    for number in range(3):
        aid = f"POD{number:010d}"
        path = f"audio/podcast/P0000/{aid}.opus"
        tone(root / "GigaSpeech" / path, 0.6, 48_000)
        texts = ("HELLO THERE <COMMA> JOHN <PERIOD>", "<SIL>")
        segments = [
            {
                "sid": f"{aid}_S{i:07d}",
                "speaker": "N/A",
                "begin_time": 0.3 * i,
                "end_time": 0.3 * i + 0.25,
                "subsets": ["{XL}", "{XS}"] if number < 2 else ["{XL}"],
                "text_tn": text,
                "url": "https://example.org",
                "md5": "0",
            }
            for i, text in enumerate(texts)
        ]
        audios.append(
            {
                "title": "N/A",
                "url": "https://example.org",
                "path": path,
                "aid": aid,
                "source": "podcast",
                "codec_conversion": "ffmpeg",
                "channels": 1,
                "md5": "0",
                "speaker": "N/A",
                "category": "N/A",
                "duration": 0.6,
                "sample_rate": 16000,
                "format": "opus",
                "subsets": ["{XL}"],
                "segments": segments,
            }
        )
    index = {"dataset": "GigaSpeech", "language": "EN", "version": "v1.0.0", "audios": audios}
    write(root / "GigaSpeech" / "GigaSpeech.json", json.dumps(index, indent=2))
    return SourceConfig("gigaspeech", str(root), split="XS")


def voxpopuli(root: Path) -> SourceConfig:
    folder = root / "transcribed_data" / "en"
    rows = []
    for number, raw in enumerate(("Mr President, thank you.", "")):
        name = f"20130909-0900-PLENARY-14-en_20130909-21:05:16_{number}"
        tone(folder / "2013" / f"{name}.ogg")
        rows.append(f"{name}\t{raw}\tmister president thank you\t{number}\ttrain\tmale")
    write(
        folder / "asr_train.tsv", "id\traw_text\tnormalized_text\tspeaker_id\tsplit\tgender", *rows
    )
    return SourceConfig("voxpopuli", str(root), split="train")


def aishell(root: Path) -> SourceConfig:
    folder = root / "data_aishell"
    lines = []
    for number, words in enumerate(("而 对 楼市 成交", "抑制 作用 最 大 的")):
        name = f"BAC009S000{number}W0122"
        tone(folder / "wav" / "train" / f"S000{number}" / f"{name}.wav")
        lines.append(f"{name} {words}")
    write(folder / "transcript" / "aishell_transcript_v0.8.txt", *lines)
    return SourceConfig("aishell", str(root), split="train")


def covost2(root: Path) -> SourceConfig:
    rows = []
    for number, translation in enumerate(("你好。", "再见\\\t朋友。")):
        name = f"common_voice_en_{number}.mp3"
        tone(root / "clips" / name, rate_hz=48_000)
        rows.append(f"{name}\tSentence {number}.\t{translation}\tspeaker{number}")
    write(root / "covost_v2.en_zh-CN.train.tsv", "path\tsentence\ttranslation\tclient_id", *rows)
    return SourceConfig("covost2", str(root), language="en_zh-CN", split="train")


AUDIOSET_HEAD = (
    "# Segments csv created Sun Mar  5 10:54:31 2017",
    "# num_ytids=3, num_segs=3, num_unique_labels=3, num_positive_labels=4",
    "# YTID, start_seconds, end_seconds, positive_labels",
)


def audioset(root: Path) -> SourceConfig:
    write(
        root / "balanced_train_segments.csv",
        *AUDIOSET_HEAD,
        '--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"',
        '--BfvyPmVMo, 20.000, 30.000, "/m/03l9g"',
        '--gone, 30.000, 40.000, "/m/03l9g"',
    )
    write(
        root / "class_labels_indices.csv",
        "index,mid,display_name",
        '72,/m/068hy,"Domestic animals, pets"',
        '73,/m/07q6cd_,"Squeak"',
        '418,/m/03l9g,"Hammer"',
    )
    audio = root / "audio" / "balanced_train_segments"
    tone(audio / "--4gqARaEJE.wav", 0.2)
    tone(audio / "Y--BfvyPmVMo.flac", 0.2)
    return SourceConfig("audioset", str(root), split="balanced_train")


def esc50(root: Path) -> SourceConfig:
    folder = root / "ESC-50-master"
    rows = []
    for fold, target, category, esc10 in ((1, 0, "dog", True), (2, 36, "vacuum_cleaner", False)):
        name = f"{fold}-100032-A-{target}.wav"
        tone(folder / "audio" / name, rate_hz=44_100)
        rows.append(f"{name},{fold},{target},{category},{esc10},100032,A")
    write(folder / "meta" / "esc50.csv", "filename,fold,target,category,esc10,src_file,take", *rows)
    return SourceConfig("esc50", str(root))


def fma(root: Path) -> SourceConfig:
    meta = root / "fma_metadata"
    write(
        meta / "tracks.csv",
        ",artist,set,set,track,track,track,track,track",
        ",name,split,subset,duration,genre_top,genres_all,license,title",
        "track_id,,,,,,,,",
        '2,AWOL,training,small,168,Hip-Hop,[21],Attribution-NonCommercial,"Food, or\nfood"',
        "3,AWOL,training,medium,237,Hip-Hop,[21],Attribution,Electric Ave",
        '5,Kurt Vile,test,small,206,,"[10, 12]",Attribution,This World',
    )
    write(
        meta / "genres.csv",
        "genre_id,#tracks,parent,title,top_level",
        "10,13845,0,Pop,10",
        "12,32923,0,Rock,12",
        "21,8389,0,Hip-Hop,21",
    )
    for track in (2, 5):
        tone(root / "fma_small" / "000" / f"{track:06d}.mp3", 0.3, 44_100)
    return SourceConfig("fma", str(root))


def musan(root: Path) -> SourceConfig:
    folder = root / "musan"
    for source, count in (("free-sound", 2), ("sound-bible", 1)):
        for number in range(count):
            tone(folder / "noise" / source / f"noise-{source}-{number:04d}.wav")
        write(folder / "noise" / source / "LICENSE", "Public Domain")
    tone(folder / "music" / "fma" / "music-fma-0000.wav")
    write(folder / "music" / "fma" / "ANNOTATIONS", "music-fma-0000 country,folk Y some_artist")
    tone(folder / "speech" / "librivox" / "speech-librivox-0000.wav")
    return SourceConfig("musan", str(root))


def wham(root: Path) -> SourceConfig:
    for split in ("tr", "cv", "tt"):
        tone(root / "wham_noise" / split / f"01a{split}010k_1.3053_01po0310_-1.3053.wav")
    return SourceConfig("wham", str(root))


def dns_noise(root: Path) -> SourceConfig:
    folder = root / "datasets" / "noise"
    tone(folder / "door_bell_Freesound_validated_396619_8.wav")
    tone(folder / "1XLvR2wPOKc.wav")
    return SourceConfig("dns_noise", str(root))


def moss(root: Path) -> SourceConfig:
    write_json_lines(
        root / "moss-003-sft-no-tools.jsonl",
        {
            "conversation_id": 1,
            "meta_instruction": "You are an AI assistant whose name is MOSS.\n",
            "num_turns": 2,
            "chat": {
                "turn_1": {
                    "Human": "<|Human|>: 你好，最近怎么样？<eoh>\n",
                    "Inner Thoughts": "<|Inner Thoughts|>: None<eot>\n",
                    "Commands": "<|Commands|>: None<eoc>\n",
                    "Tool Responses": "<|Results|>:\nNone\n<eor>\n",
                    "MOSS": "<|MOSS|>: 我很好。<eom>\n",
                },
                "turn_2": {
                    "Human": "<|Human|>: 再见<eoh>\n",
                    "MOSS": "<|MOSS|>: 再见！<eom>\n",
                },
            },
            "category": "Brainstorming",
        },
        {
            "conversation_id": 2,
            "category": "Writing",
            "conversation": [{"human": "Write a line.", "assistant": "Here it is."}],
        },
    )
    array = [
        {
            "id": "1",
            "prefix": "MOSS is an AI assistant ...",
            "num_turns": 2,
            "plain_text": "[Human]: Who are you?<eoh> [MOSS]: I am MOSS.<eoa> "
            "[Human]: Thanks.<eoh> [MOSS]: Welcome.<eoa>",
        }
    ]
    write(root / "moss-002" / "en_helpfulness.json", json.dumps(array, indent=1))
    return SourceConfig("moss", str(root))


def ultrachat(root: Path) -> SourceConfig:
    write_json_lines(
        root / "train_0.jsonl",
        {"id": "0", "data": ["How are you?", "Fine.", "And now?", "Still fine."]},
        {"id": "1", "data": ["Where is it?", "There."]},
    )
    import pyarrow
    import pyarrow.parquet

    messages = [
        {"content": "What is a chunk?", "role": "user"},
        {"content": "Four tenths of a second.", "role": "assistant"},
    ]
    table = pyarrow.Table.from_pylist(
        [{"prompt": "What is a chunk?", "prompt_id": "a", "messages": messages}]
    )
    (root / "data").mkdir(parents=True)
    pyarrow.parquet.write_table(table, root / "data" / "train_sft-00000-of-00001.parquet")
    return SourceConfig("ultrachat", str(root))


def magpie_pro(root: Path) -> SourceConfig:
    import pyarrow
    import pyarrow.parquet

    rows = [
        {
            "uuid": f"u{i}",
            "model": "Llama-3-70B-Instruct",
            "conversations": [
                {"from": "human", "value": f"Question {i}?"},
                {"from": "gpt", "value": f"Answer {i}."},
            ],
        }
        for i in range(3)
    ]
    (root / "data").mkdir(parents=True)
    table = pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, root / "data" / "train-00000-of-00001.parquet")
    return SourceConfig("magpie_pro", str(root))


def belle(root: Path) -> SourceConfig:
    write_json_lines(
        root / "train_2M_CN.json",
        {"instruction": "给出一个同义词。", "input": "高兴", "output": "快乐"},
    )
    write_json_lines(
        root / "multiturn_chat_0.8M.json",
        {
            "instruction": "Human:你好\nAssistant:你好！\nHuman:讲个笑话\nAssistant:",
            "input": "",
            "output": "从前有座山。",
        },
    )
    write_json_lines(
        root / "train_3.5M_CN.json",
        {
            "id": "16012449",
            "conversations": [
                {"from": "human", "value": "天空是什么颜色？"},
                {"from": "assistant", "value": "蓝色。"},
            ],
        },
    )
    return SourceConfig("belle", str(root))


def coig_cqia(root: Path) -> SourceConfig:
    row = {
        "instruction": "为什么天是蓝的？",
        "input": "",
        "output": "因为瑞利散射。",
        "task_type": {"major": ["问答"], "minor": ["百科"]},
        "domain": ["物理"],
        "metadata": None,
        "answer_from": "human",
        "human_verified": True,
        "copyright": "...",
    }
    other = {**row, "instruction": "问", "input": "一", "output": "二"}
    write_json_lines(root / "wiki" / "wiki10.jsonl", row)
    write_json_lines(root / "zhihu" / "zhihu_score9.0-10.0_clean_v10.jsonl", other)
    write_json_lines(root / "COIG-CQIA-full.jsonl", row, other)
    return SourceConfig("coig_cqia", str(root))


def gammacorpus_fact_qa(root: Path) -> SourceConfig:
    write_json_lines(
        root / "gammacorpus-fact-qa-450k.jsonl",
        {"question": "What is the capital of France?", "answer": "Paris"},
        {"question": "How many legs has a spider?", "answer": "Eight"},
    )
    return SourceConfig("gammacorpus_fact_qa", str(root))


def dureader(root: Path) -> SourceConfig:
    squad = {
        "data": [
            {
                "paragraphs": [
                    {
                        "context": "仙剑奇侠传3第几集上天界？第35集雪见缓缓张开眼睛。",
                        "qas": [
                            {
                                "question": "仙剑奇侠传3第几集上天界",
                                "id": "0a25cb4bc1ab6f474c699884e04601e4",
                                "answers": [{"text": "第35集", "answer_start": 13}],
                            }
                        ],
                    },
                    {"context": "", "qas": [{"question": "没有答案的", "id": "x", "answers": []}]},
                ],
                "title": "",
            }
        ]
    }
    write(root / "dureader_robust-data" / "train.json", json.dumps(squad, indent=2))
    write_json_lines(
        root / "raw" / "trainset" / "zhidao.train.json",
        {
            "question_id": 186572,
            "question": "泰国旅游要多少钱",
            "question_type": "ENTITY",
            "fact_or_opinion": "FACT",
            "answers": ["大约五千元。", "看季节。"],
            "documents": [],
        },
    )
    return SourceConfig("dureader", str(root))


def webqa(root: Path) -> SourceConfig:
    document = {
        f"Q_TRN_00000{n}": {
            "question": f"第{n}个问题是什么",
            "evidences": {
                f"Q_TRN_00000{n}#00": {"answer": ["no_answer"], "evidence": "..."},
                f"Q_TRN_00000{n}#01": {"answer": ["乙"], "evidence": "..."},
                f"Q_TRN_00000{n}#02": {"answer": ["甲"], "evidence": "..."},
                f"Q_TRN_00000{n}#03": {"answer": ["甲"], "evidence": "..."},
            },
        }
        for n in (1, 2)
    }
    write(root / "WebQA.v1.0" / "me_train.json", json.dumps(document, ensure_ascii=False))
    return SourceConfig("webqa", str(root))


def qa_json(root: Path) -> SourceConfig:
    array = [
        {
            "url": "http://example.org",
            "targetValue": '(list (description "Jamaican \\"Creole\\"") (description English))',
            "utterance": "what does jamaican people speak?",
        },
        {"question": "who painted it?", "answers": {"text": ["Rembrandt"], "answer_start": [3]}},
    ]
    write(root / "webquestions.examples.train.json", json.dumps(array))
    return SourceConfig("qa_json", str(root), licence="CC-BY-4.0")


def manifest(root: Path) -> SourceConfig:
    for name in ("a", "b"):
        tone(root / "wavs" / f"{name}.wav", 0.5)
    write_json_lines(
        root / "manifest.jsonl",
        {"path": "wavs/a.wav", "text": "hello", "language": "en", "speaker": "s1"},
        {"path": "wavs/b.wav", "label": "glass;window", "licence": "CC0-1.0", "take": 3},
        {"audio_filepath": "wavs/b.wav", "offset": 0.1, "duration": 0.2, "text": "cut"},
    )
    return SourceConfig("manifest", str(root), licence="CC-BY-4.0")


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def webdataset(root: Path) -> SourceConfig:
    root.mkdir(parents=True, exist_ok=True)
    for shard in range(2):
        with tarfile.open(root / f"train-{shard:06d}.tar", "w") as tar:
            row = json.dumps({"text": "spoken", "speaker": "s"}).encode()
            add_member(tar, f"a{shard}.flac", tone_bytes("flac", 300))
            add_member(tar, f"a{shard}.json", row)
            add_member(tar, f"deep/b.c/u{shard}.txt", "与文本".encode())
            add_member(tar, f"deep/b.c/u{shard}.wav", tone_bytes("wav", 500))
            add_member(tar, f"e{shard}.cls", b"dog")
            add_member(tar, f"e{shard}.ogg", tone_bytes("ogg", 600))
    return SourceConfig("webdataset", str(root), licence="CC0-1.0")


def huggingface(root: Path) -> SourceConfig:
    import datasets
    import pyarrow
    import pyarrow.parquet

    rows = {
        "audio": [
            {"bytes": tone_bytes("flac", 200 + 100 * i), "path": f"x{i}.flac"} for i in range(3)
        ],
        "sentence": ["one", "two", "three"],
        "client_id": ["a", "b", "c"],
        "label": [0, 1, 0],
        "fold": [1, 2, 3],
    }  # fmt: skip
    features = datasets.Features(
        {
            "audio": datasets.Audio(decode=False),
            "sentence": datasets.Value("string"),
            "client_id": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["dog", "rain"]),
            "fold": datasets.Value("int64"),
        }
    )
    (root / "set" / "data").mkdir(parents=True)
    table = pyarrow.Table.from_pydict(rows, schema=features.arrow_schema)
    for shard, piece in enumerate((table.slice(0, 2), table.slice(2))):
        name = f"train-{shard:05d}-of-00002.parquet"
        pyarrow.parquet.write_table(piece, root / "set" / "data" / name)
    return SourceConfig("huggingface", str(root / "set"), cache=str(root / "cache"))


def kaldi(root: Path) -> SourceConfig:
    folder = root / "train"
    first, second = tone(root / "wav" / "r1.wav", 0.8), tone(root / "wav" / "r2.flac", 0.8)
    write(folder / "wav.scp", f"r1 {first}", f"r2 flac -c -d -s {second} |", "r3 sox a.wav - | x |")
    write(
        folder / "segments", "s1-r1-a r1 0.10 0.40", "s1-r1-b r1 0.40 -1", "s2-r2-a r2 0.00 0.50",
        "s3-r3-a r3 0.00 0.50",
    )  # fmt: skip
    write(folder / "text", "s1-r1-a hello there", "s1-r1-b once more", "s2-r2-a bye", "s3-r3-a no")
    write(folder / "utt2spk", "s1-r1-a s1", "s1-r1-b s1", "s2-r2-a s2", "s3-r3-a s3")
    return SourceConfig("kaldi", str(root), split="train", language="en")


def lhotse(root: Path) -> SourceConfig:
    audio = tone(root / "r1.wav", 0.8)
    recording = {
        "id": "r1",
        "sources": [{"type": "file", "channels": [0], "source": str(audio)}],
        "sampling_rate": RATE_HZ,
        "num_samples": 12_800,
        "duration": 0.8,
    }
    supervision = {
        "id": "r1-1",
        "recording_id": "r1",
        "start": 0.1,
        "duration": 0.4,
        "channel": 0,
        "text": "hello there",
        "language": "English",
        "speaker": "s1",
        "custom": {"orig_text": "Hello there!"},
        "alignment": {"word": [["hello", 0.1, 0.2, 1.0], ["there", 0.3, 0.2]]},
    }
    cut = {
        "id": "c1",
        "start": 0.2,
        "duration": 0.6,
        "channel": 0,
        "supervisions": [supervision],
        "recording": recording,
        "type": "MonoCut",
    }
    plain = {**cut, "id": "c2", "start": 0.0, "supervisions": []}
    mixed = {"id": "c3", "tracks": [], "type": "MixedCut"}
    root.mkdir(parents=True, exist_ok=True)
    with gzip.open(root / "cuts_train.jsonl.gz", "wt", encoding="utf-8") as file:
        for row in (cut, plain, mixed):
            file.write(json.dumps(row) + "\n")
    write_json_lines(root / "manifests" / "x_recordings_dev.jsonl", recording)
    write_json_lines(root / "manifests" / "x_supervisions_dev.jsonl", supervision)
    return SourceConfig("lhotse", str(root), split="train")


def streamaudio(root: Path) -> SourceConfig:
    for name in ("a", "b", "c"):
        tone(root / "clips" / f"{name}.wav")
    turns = [
        {"user": "What time is it?", "assistant": "Noon.", "emotion": "Happy",
         "scene_type": "chat", "audio_path": "clips/a.wav"},
        {"user": "", "assistant": "<no need to response>", "emotion": "normal",
         "scene_type": "noise", "audio_path": "clips/b.wav"},
    ]  # fmt: skip
    write_json_lines(
        root / "corpus.jsonl",
        {"id": 7, "stream_scene_type": "voice_chat", "num_turns": 2, "turns": turns},
        {"id": 8, "stream_scene_type": "voice_chat", "num_turns": 1, "turns": turns[:1]},
    )
    return SourceConfig("streamaudio", str(root))


def online_conversation(root: Path) -> SourceConfig:
    for name in ("a", "b"):
        tone(root / f"{name}.wav")
    heard = [
        {"audio_path": "a.wav", "assistant": "Yes.", "emotion": "sad"},
        {"audio_path": "b.wav", "assistant": "<no need to response>"},
    ]
    write_json_lines(
        root / "online.jsonl",
        {"conversation": heard},
        {"merge_path": "b.wav", "assistant": "One thing."},
    )
    return SourceConfig("online_conversation", str(root))


def offline_conversation(root: Path) -> SourceConfig:
    tone(root / "a.wav")
    write_json_lines(
        root / "offline.jsonl",
        {"user": "What do you hear?", "assistant": "A tone.", "audio_path": "a.wav"},
        {"assistant": "A tone of 440 Hz.", "audio_path": "a.wav"},
        {"user": "Hello!", "assistant": "Hi."},
    )
    return SourceConfig("offline_conversation", str(root))


MINIATURES: dict[str, Callable[[Path], SourceConfig]] = {
    build.__name__: build
    for build in (
        librispeech, common_voice, gigaspeech, voxpopuli, aishell, covost2, audioset, esc50, fma,
        musan, wham, dns_noise, moss, ultrachat, magpie_pro, belle, coig_cqia,
        gammacorpus_fact_qa, dureader, webqa, qa_json, manifest, webdataset, huggingface, kaldi,
        lhotse, streamaudio, online_conversation, offline_conversation,
    )
}  # fmt: skip
