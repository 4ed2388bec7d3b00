"""`soundflow doctor`: what this machine has, tested rather than assumed."""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import multiprocessing
import os
import platform
import re
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from rich.table import Table
from rich.text import Text

from soundflow.audio.files import read_audio
from soundflow.errors import UserError, not_installed
from soundflow.logs import OUT
from soundflow.protocol.timebase import SAMPLE_RATE_HZ

DISTRIBUTION = "soundflow"
FORMATS = (
    ("wav", "WAV", "PCM_16"), ("flac", "FLAC", "PCM_16"), ("ogg", "OGG", "VORBIS"),
    ("mp3", "MP3", "MPEG_LAYER_III"), ("m4a", "", "aac"),
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    what: str
    state: Literal["ok", "missing", "broken"]
    detail: str


def run(args: argparse.Namespace) -> None:
    findings = [_python(), *package_findings(), *_decoders(), *_devices(), _disk()]
    if args.json:
        print(json.dumps([asdict(f) for f in findings], indent=1))
    else:
        table = Table(title="soundflow doctor", title_justify="left")
        for column in ("what", "state", "detail"):
            table.add_column(column, overflow="fold")
        colours = {"ok": "green", "missing": "yellow", "broken": "red"}
        for f in findings:
            table.add_row(f.what, Text(f.state, style=colours[f.state]), f.detail)
        OUT.print(table)
    broken = [f.what for f in findings if f.state == "broken"]
    if broken:
        raise UserError(f"not usable here: {', '.join(broken)}", "reinstall with constraints.txt")


def package_findings() -> list[Finding]:
    """What this package requires and is there, then the same of each of its extras."""
    findings = []
    try:
        wanted = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return [Finding(DISTRIBUTION, "broken", "not installed: make install")]
    by_extra: dict[str, list[str]] = {"": [DISTRIBUTION]}
    for requirement in wanted:  # such as `peft>=0.17; extra == "lora"`
        named = re.search(r"extra == [\"']([^\"']+)", requirement)
        package = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        by_extra.setdefault(named[1] if named else "", []).append(package)
    for extra, packages in by_extra.items():
        versions = {package: _version(package) for package in packages}
        missing = [package for package, version in versions.items() if version is None]
        there = ", ".join(f"{package} {v}" for package, v in versions.items() if v is not None)
        if not missing:
            findings.append(Finding(f"extra {extra}" if extra else "packages", "ok", there))
        elif extra:
            remedy = not_installed(", ".join(missing), extra).hint
            detail = f"optional: no {', '.join(missing)}; {remedy}"
            findings.append(Finding(f"extra {extra}", "missing", detail))
        else:
            findings.append(Finding("packages", "broken", f"no {', '.join(missing)}"))
    return findings


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _decoders() -> list[Finding]:
    # In a spawned worker, as the build and the data loader do it: codecs that work in the parent
    # and not in a worker are a known trap.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(_try_format, FORMATS))


def _try_format(form: tuple[str, str, str]) -> Finding:
    extension, container, codec = form
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"tone.{extension}"
        try:
            if container:
                soundfile.write(path, tone, SAMPLE_RATE_HZ, format=container, subtype=codec)
            else:
                path.write_bytes(_encode_av(tone.astype(np.float32), extension, codec))
            seconds = len(read_audio(path)) / SAMPLE_RATE_HZ
        except Exception as error:
            return Finding(f"decode {extension}", "broken", " ".join(str(error).split()))
    return Finding(
        f"decode {extension}", "ok", f"{seconds:.2f} s of 1 s decoded in a worker process"
    )


def _encode_av(tone: np.ndarray[tuple[int], np.dtype[np.float32]], form: str, codec: str) -> bytes:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format={"m4a": "mp4"}.get(form, form)) as container:
        stream = container.add_stream(codec, rate=SAMPLE_RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return buffer.getvalue()


def _devices() -> list[Finding]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    findings = [
        Finding("cpu", "ok", f"{cores} cores, torch uses {torch.get_num_threads()} threads")
    ]
    count = torch.cuda.device_count()
    names = ", ".join(torch.cuda.get_device_name(i) for i in range(count))
    findings.append(Finding("cuda", "ok" if count else "missing", names or "optional: no device"))
    return findings


def _disk() -> Finding:
    free_gib = shutil.disk_usage(Path.cwd()).free / 2**30
    return Finding("disk", "ok" if free_gib > 2 else "broken", f"{free_gib:.0f} GiB free here")
