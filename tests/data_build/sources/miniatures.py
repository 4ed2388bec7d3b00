"""A tiny copy of every corpus in its published layout, by the name of its reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data_build.drops import Drop
from data_build.records import Clip, Dialogue
from data_build.sources.source import SourceConfig
from tests.data_build.sources.dialogue_miniatures import (
    belle,
    coig_cqia,
    dureader,
    gammacorpus_fact_qa,
    magpie_pro,
    moss,
    qa_json,
    ultrachat,
    webqa,
)
from tests.data_build.sources.generic_miniatures import (
    folder,
    huggingface,
    kaldi,
    lhotse,
    manifest,
    offline_conversation,
    online_conversation,
    streamaudio,
    webdataset,
)
from tests.data_build.sources.sound_miniatures import (
    audioset,
    dns_noise,
    esc50,
    fma,
    musan,
    wham,
)
from tests.data_build.sources.speech_miniatures import (
    aishell,
    common_voice,
    covost2,
    gigaspeech,
    librispeech,
    voxpopuli,
)

ReadAll = Callable[[SourceConfig], tuple[list[Clip | Dialogue], list[Drop]]]

MINIATURES: dict[str, Callable[[Path], SourceConfig]] = {
    build.__name__: build
    for build in (
        librispeech, common_voice, gigaspeech, voxpopuli, aishell, covost2, audioset, esc50, fma,
        musan, wham, dns_noise, moss, ultrachat, magpie_pro, belle, coig_cqia,
        gammacorpus_fact_qa, dureader, webqa, qa_json, manifest, folder, webdataset, huggingface,
        kaldi, lhotse, streamaudio, online_conversation, offline_conversation,
    )
}  # fmt: skip
