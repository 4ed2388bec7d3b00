"""Every corpus that can be read: the one table behind ``corpus:`` in a recipe."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from data_build.drops import Drop
from data_build.records import Clip, Dialogue
from data_build.sources import (
    dialogue,
    huggingface,
    instructions,
    kaldi,
    lhotse_manifests,
    long_speech,
    manifest,
    music,
    noise,
    questions,
    sound_events,
    speech,
    streamaudio,
    translation,
    webdataset_tars,
)
from data_build.sources.source import ALL_ROWS, Reader, Report, SourceConfig, WorkerShard
from soundflow.errors import UserError, nearest


@dataclass(frozen=True)
class Corpus:
    """A reader and what a person has to know about its corpus.

    ``yields`` holds clip kinds and "dialogue"; ``tree`` is what must lie under ``root``;
    ``download`` says where it comes from.
    """

    read: Reader
    yields: tuple[str, ...]
    licence: str
    tree: str
    download: str


_ANY = ("speech", "event", "music", "noise")
_OWN = "as the rows or the recipe say"

CORPORA: dict[str, Corpus] = {
    "librispeech": Corpus(
        speech.librispeech, ("speech",), speech.LIBRISPEECH.licence, speech.LIBRISPEECH_TREE,
        "openslr.org/12; word times: LibriSpeech-Alignments",
    ),
    "common_voice": Corpus(
        speech.common_voice, ("speech",), speech.COMMON_VOICE.licence, speech.COMMON_VOICE_TREE,
        "commonvoice.mozilla.org/datasets",
    ),
    "gigaspeech": Corpus(
        long_speech.gigaspeech, ("speech",), long_speech.GIGASPEECH.licence,
        long_speech.GIGASPEECH_TREE, "github.com/SpeechColab/GigaSpeech (on application)",
    ),
    "voxpopuli": Corpus(
        long_speech.voxpopuli, ("speech",), long_speech.VOXPOPULI.licence,
        long_speech.VOXPOPULI_TREE, "github.com/facebookresearch/voxpopuli: get_asr_data",
    ),
    "aishell": Corpus(
        speech.aishell, ("speech",), speech.AISHELL.licence, speech.AISHELL_TREE,
        "openslr.org/33: data_aishell.tgz, then unpack wav/*.tar.gz",
    ),
    "covost2": Corpus(
        translation.covost2, ("speech",), translation.COVOST2.licence, translation.COVOST2_TREE,
        "github.com/facebookresearch/covost and Common Voice 4",
    ),
    "audioset": Corpus(
        sound_events.audioset, ("event",), sound_events.AUDIOSET.licence,
        sound_events.AUDIOSET_TREE, "research.google.com/audioset; the audio you fetch yourself",
    ),
    "esc50": Corpus(
        sound_events.esc50, ("event",), sound_events.ESC50.licence, sound_events.ESC50_TREE,
        "github.com/karolpiczak/ESC-50",
    ),
    "fma": Corpus(
        music.fma, ("music",), music.FMA.licence, music.FMA_TREE,
        "github.com/mdeff/fma: fma_metadata.zip and one fma_*.zip",
    ),
    "musan": Corpus(
        noise.musan, ("noise", "music", "speech"), noise.MUSAN.licence, noise.MUSAN_TREE,
        "openslr.org/17",
    ),
    "wham": Corpus(
        noise.wham, ("noise",), noise.WHAM.licence, noise.WHAM_TREE, "wham.whisper.ai",
    ),
    "dns_noise": Corpus(
        noise.dns_noise, ("noise",), noise.DNS_NOISE.licence, noise.DNS_TREE,
        "github.com/microsoft/DNS-Challenge",
    ),
    "moss": Corpus(
        dialogue.moss, ("dialogue",), dialogue.MOSS.licence, dialogue.MOSS_TREE,
        "hub: fnlp/moss-002-sft-data, fnlp/moss-003-sft-data",
    ),
    "ultrachat": Corpus(
        dialogue.ultrachat, ("dialogue",), dialogue.ULTRACHAT.licence, dialogue.ULTRACHAT_TREE,
        "hub: stingning/ultrachat or HuggingFaceH4/ultrachat_200k",
    ),
    "magpie_pro": Corpus(
        dialogue.magpie_pro, ("dialogue",), dialogue.MAGPIE_PRO.licence, dialogue.MAGPIE_TREE,
        "hub: Magpie-Align/Llama-3-Magpie-Pro-1M-v0.1 and its siblings",
    ),
    "belle": Corpus(
        instructions.belle, ("dialogue",), instructions.BELLE.licence, instructions.BELLE_TREE,
        "hub: BelleGroup/train_2M_CN, BelleGroup/multiturn_chat_0.8M, ...",
    ),
    "coig_cqia": Corpus(
        instructions.coig_cqia, ("dialogue",), instructions.COIG_CQIA.licence,
        instructions.COIG_TREE, "hub: m-a-p/COIG-CQIA",
    ),
    "gammacorpus_fact_qa": Corpus(
        questions.gammacorpus_fact_qa, ("dialogue",), questions.GAMMACORPUS.licence,
        questions.GAMMACORPUS_TREE, "hub: rubenroy/GammaCorpus-Fact-QA-450k",
    ),
    "dureader": Corpus(
        questions.dureader, ("dialogue",), questions.DUREADER.licence, questions.DUREADER_TREE,
        "github.com/baidu/DuReader",
    ),
    "webqa": Corpus(
        questions.webqa, ("dialogue",), questions.WEBQA.licence, questions.WEBQA_TREE,
        "Baidu WebQA 1.0 (arXiv 1607.06275)",
    ),
    "qa_json": Corpus(
        questions.qa_json, ("dialogue",), _OWN, "*.json, *.jsonl or *.parquet",
        "any questions with answers, for example WebQuestions",
    ),
    "manifest": Corpus(
        manifest.manifest, _ANY, _OWN, manifest.MANIFEST_TREE, "your own recordings",
    ),
    "webdataset": Corpus(
        webdataset_tars.webdataset, _ANY, _OWN, webdataset_tars.WEBDATASET_TREE, "any tars",
    ),
    "huggingface": Corpus(
        huggingface.huggingface, (*_ANY, "dialogue"), _OWN, "a hub name or a local dataset",
        "huggingface.co/datasets",
    ),
    "kaldi": Corpus(kaldi.kaldi, ("speech", "noise"), _OWN, kaldi.KALDI_TREE, "any Kaldi recipe"),
    "lhotse": Corpus(
        lhotse_manifests.lhotse, ("speech", "noise"), _OWN, lhotse_manifests.LHOTSE_TREE,
        "lhotse prepare ...",
    ),
    "streamaudio": Corpus(
        streamaudio.streamaudio, ("speech", "event"), streamaudio.STREAMAUDIO.licence,
        streamaudio.STREAMAUDIO_TREE, "StreamAudio-2M",
    ),
    "online_conversation": Corpus(
        streamaudio.online_conversation, ("speech", "event"), _OWN, streamaudio.STREAMAUDIO_TREE,
        "data for the published training code",
    ),
    "offline_conversation": Corpus(
        streamaudio.offline_conversation, ("event", "dialogue"), _OWN,
        streamaudio.STREAMAUDIO_TREE, "data for the published training code",
    ),
}  # fmt: skip


def read(
    config: SourceConfig, report: Report, part: int = 0, of: int = 1
) -> Iterator[Clip | Dialogue]:
    """The items of a corpus, in the same order every time; audio stays a reference.

    The parts 0 .. of-1 hold every item exactly once. A ``limit`` cuts the whole corpus first, so
    that the parts together are the same items for any ``of``.

    Args:
        report: takes a `Drop` for every row that cannot be used, with its file and line.

    Raises:
        UserError: if the corpus is unknown, or its root or index is missing.
    """
    share = WorkerShard(part, of)
    corpus = corpus_named(config.corpus)
    if config.limit is None:
        yield from corpus.read(config, share, report)
        return
    # Every part reads the same beginning; only the first one may report its drops.
    first = report if part == 0 else _ignore
    items = itertools.islice(corpus.read(config, ALL_ROWS, first), config.limit)
    yield from itertools.islice(items, share.index, None, share.of)


def corpus_named(name: str) -> Corpus:
    """Raises:
    UserError: naming the nearest corpus, if there is none of this name.
    """
    if name in CORPORA:
        return CORPORA[name]
    close = nearest(name, CORPORA)
    tail = f"did you mean {close!r}?" if close else f"known: {', '.join(CORPORA)}"
    raise UserError(f"corpus {name!r} is unknown; {tail}", "see docs/sources.md")


def _ignore(drop: Drop) -> None:
    del drop
