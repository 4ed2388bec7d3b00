"""Whether a file ends where its container says, read from its headers alone.

Decoders take the end of a file for the end of the audio, so a truncated download would silently be
read short. Containers that carry their lengths are walked here, chunk by chunk::

    RIFF  [fmt ][data ..................]        expected end > size of the file: cut short
    EBML  [Segment [Cluster][Cluster ...         unknown sizes (live): its blocks are walked
    OggS  [page][page][page ...                  further streams after the first: chained
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import BinaryIO

# Writers that cannot seek back leave one of these (ffmpeg, arecord, sox) instead of a length.
_STREAMED_FROM = 0x7FFF_0000
# Some writers count their own header into the length of the data.
_SLOPPY_BYTES = 64
_MASTER_IDS = frozenset((0x18538067, 0x1F43B675))  # Segment, Cluster
_FLAC = re.compile(rb"fLaC\x00\x00\x00\x22")
_JOINT = re.compile(rb"ID3[\x02-\x04]\x00|Xing\x00\x00|Info\x00\x00")
_EBML_ID = 0x1A45DFA3


@dataclass(frozen=True)
class Ending:
    """How a file ends.

    Attributes:
        cut: it ends inside a part whose length is known.
        chained: further streams follow the first one (concatenated Ogg, WebM, FLAC); times in it
            start again, so it cannot be read from the middle.
        second_file: another file of the same kind follows, which decoders ignore.
    """

    cut: bool = False
    chained: bool = False
    second_file: bool = False


def ending(file: BinaryIO) -> Ending:
    """How ``file`` ends; all False where its container carries no lengths."""
    size = file.seek(0, os.SEEK_END)
    head = _at(file, 0, 16)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM"):
        return _riff(file, size, head)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"skip", b"free"):
        return _boxes(file, size)
    if head[:4] == b"OggS":
        return _ogg(file, size)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _ebml(file, size)
    if head[:4] == b"fLaC":
        return Ending(chained=_holds(file, _FLAC, 4))
    if head[:4] == b".snd":
        begin, length = (int.from_bytes(head[i : i + 4], "big") for i in (4, 8))
        return Ending(cut=length < _STREAMED_FROM and begin + length > size)
    if head[:4] == b"caff":
        return _caf(file, size)
    if is_mpeg_audio(file):
        return Ending(chained=_holds(file, _JOINT, 4096))
    if head[:1] == b"\x47" and _at(file, 188, 1) == _at(file, 376, 1) == b"\x47":
        return Ending(cut=size % 188 != 0)  # MPEG transport stream
    if head[:4] == b"riff":
        return Ending(cut=int.from_bytes(_at(file, 16, 8), "little") > size)
    return Ending()


def is_mpeg_audio(file: BinaryIO) -> bool:
    """Whether it begins like an MP3 or a bare AAC stream."""
    head = _at(file, 0, 16)
    return head[:3] == b"ID3" or mpeg_frame_bytes(head) is not None


def mp3_frames(file: BinaryIO) -> int | None:
    """The number of frames that the Xing or Info header of an MP3 declares, if it has one."""
    at = 0
    while (tag := _at(file, at, 10))[:3] == b"ID3":
        at += 10 + sum(
            (byte & 0x7F) << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=False)
        )
    frame = _at(file, at, 256)
    for name in (b"Xing", b"Info"):
        place = frame.find(name, 4, 64)
        if place > 0 and frame[place + 7 : place + 8] and frame[place + 7] & 1:
            return int.from_bytes(frame[place + 8 : place + 12], "big")
    return None


def mpeg_frame_bytes(header: bytes) -> int | None:
    """Length of the MPEG audio (layer II, III) or ADTS frame that begins so; None: it is none."""
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    if layer == 0:
        return (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    rate_hz = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
    if version == 1 or layer == 3 or header[2] >> 2 & 3 == 3 or header[2] >> 4 in (0, 15):
        return None
    if layer == 2:
        kbits = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
    else:
        kbits = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    if version != 3:
        kbits = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    slots = 72 if version != 3 and layer == 1 else 144
    bits = kbits[(header[2] >> 4) - 1] * 1000
    return slots * bits // rate_hz[version][header[2] >> 2 & 3] + (header[2] >> 1 & 1)


def _riff(file: BinaryIO, size: int, head: bytes) -> Ending:
    order = "big" if head[:4] in (b"RIFX", b"FORM") else "little"
    at, data64 = 12, 0
    while at + 8 <= size:
        chunk = _at(file, at, 24)
        name, length = chunk[:4], int.from_bytes(chunk[4:8], order)  # type: ignore[arg-type]
        if name == b"ds64":
            data64 = int.from_bytes(chunk[16:24], "little")
        if name == head[:4]:
            return Ending(second_file=True)
        if not name.isascii() or not name.strip(b"\0"):
            return Ending()  # padding or foreign bytes behind the last chunk
        if name in (b"data", b"SSND"):
            if length == 0xFFFF_FFFF and data64:
                length = data64
            elif length >= _STREAMED_FROM or length == 0:
                return Ending()
        if at + 8 + length > size + _SLOPPY_BYTES:
            # Broken writers forget the last byte of other chunks; only lost audio counts.
            return Ending(cut=name in (b"data", b"SSND", b"LIST", b"movi"))
        at += 8 + length + length % 2
    return Ending()


def _boxes(file: BinaryIO, size: int) -> Ending:
    at, indices = 0, 0
    while at + 8 <= size:
        head = _at(file, at, 16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if not head[4:8].isascii() or not head[4:8].isalnum():
            return Ending()
        indices += head[4:8] == b"moov"
        if length == 0:
            break
        if length < 8 or at + length > size:
            return Ending(cut=True)
        at += length
    return Ending(cut=indices == 0, second_file=indices > 1)


def _ogg(file: BinaryIO, size: int) -> Ending:
    at, begun, data = 0, 0, False
    while at + 27 <= size:
        head = _at(file, at, 27 + 255)
        if head[:4] != b"OggS":
            return Ending(chained=begun > 1)  # foreign bytes; the decoder looks for the next page
        if head[5] & 2:
            begun += data
        else:
            data = True
        at += 27 + head[26] + sum(head[27 : 27 + head[26]])
    return Ending(cut=at != size, chained=begun > 0)


def _ebml(file: BinaryIO, size: int) -> Ending:
    at, headers = 0, 0
    while at < size:
        head = _at(file, at, 12)
        id_bytes = _vint_bytes(head[0])
        size_bytes = _vint_bytes(head[id_bytes]) if len(head) > id_bytes else 9
        if id_bytes > 4 or size_bytes > 8:
            return Ending(cut=at + 12 > size, chained=headers > 1)
        element = int.from_bytes(head[:id_bytes], "big")
        bits = 7 * size_bytes
        length = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & ((1 << bits) - 1)
        unknown = length == (1 << bits) - 1
        headers += element == _EBML_ID
        at += id_bytes + size_bytes
        if unknown and element in _MASTER_IDS:
            continue  # written live: its children are walked
        if unknown:
            return Ending(chained=headers > 1)
        at += length
    return Ending(cut=at > size, chained=headers > 1)


def _vint_bytes(first: int) -> int:
    return 9 - first.bit_length()


def _caf(file: BinaryIO, size: int) -> Ending:
    at = 8
    while at + 12 <= size:
        head = _at(file, at, 12)
        length = int.from_bytes(head[4:], "big", signed=True)
        if length < 0:  # to the end, as a writer leaves it that could not go back
            return Ending()
        at += 12 + length
    return Ending(cut=at > size)


def _holds(file: BinaryIO, marker: re.Pattern[bytes], start: int) -> bool:
    file.seek(start)
    tail = b""
    while block := file.read(1 << 20):
        if marker.search(block) or marker.search(tail + block[:8]):
            return True
        tail = block[-8:]
    return False


def _at(file: BinaryIO, place: int, length: int) -> bytes:
    file.seek(place)
    return file.read(length)
