"""Files that are cut, damaged, or two in one: named in one line, or read right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundflow.audio.files import AudioError, duration_s, read_audio, read_recording
from soundflow.errors import UserError
from tests.soundflow.audio.encoded import FORMATS, RATE, SECONDS, Float32, chirps, encode

# Cut at these, the container still opens and tells how much there is.
CUT_SAYS_NOTHING_OF_TIME = ("m4a", "alac")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.35, 0.6, 0.97])
def test_a_cut_file_is_named_with_how_much_there_is(
    name: str, share: float, files: dict[str, Path], tmp_path: Path
) -> None:
    content = files[name].read_bytes()
    cut = tmp_path / "cut.bin"
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"cut\.bin: is cut short \(it breaks off") as caught:
        read_audio(cut)
    assert "\n" not in caught.value.message
    if name not in CUT_SAYS_NOTHING_OF_TIME:
        said_s = float(caught.value.message.rpartition(" after ")[2].split(" s")[0])
        assert share * SECONDS - 1.6 < said_s < share * SECONDS + 0.5
    with pytest.raises(UserError, match="cut short"):
        duration_s(cut)


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "webm", "mp4, fragmented", "ogg"])
def test_what_lies_before_the_cut_can_be_read(
    name: str, files: dict[str, Path], tmp_path: Path
) -> None:
    content = files[name].read_bytes()
    cut = tmp_path / "cut.bin"
    cut.write_bytes(content[: int(0.8 * len(content))])
    part = read_audio(cut, start_s=1.0, end_s=2.0)
    assert np.array_equal(part, read_audio(files[name], start_s=1.0, end_s=2.0))


@pytest.mark.parametrize("name", ["wav", "aiff", "m4a", "alac"])
def test_a_second_file_behind_the_first_is_named(
    name: str, files: dict[str, Path], tmp_path: Path
) -> None:
    joined = tmp_path / "joined.bin"
    joined.write_bytes(files[name].read_bytes() * 2)
    with pytest.raises(UserError, match=r"joined\.bin: .*another file"):
        read_audio(joined)


@pytest.mark.parametrize("name", ["mp3", "aac", "flac", "ogg"])
def test_a_rate_or_number_of_channels_that_changes_is_named(
    name: str, files: dict[str, Path], tmp_path: Path
) -> None:
    container, codec, options, _ = FORMATS[name]
    stereo = np.stack([chirps(RATE, 2.0)] * 2, axis=1)
    changes = {
        "sample rate": encode(
            tmp_path / "r.bin", chirps(24_000, 2.0), 24_000, container, codec, options
        ),
        "number of channels": encode(tmp_path / "c.bin", stereo, RATE, container, codec, options),
    }
    for what, other in changes.items():
        if name == "ogg" and what == "sample rate":
            continue  # Opus always decodes at 48 kHz
        joined = tmp_path / f"{what}.bin"
        joined.write_bytes(files[name].read_bytes() + other.read_bytes())
        with pytest.raises(UserError, match=r"changes from .* at [56]\.\d\d s|damaged"):
            read_audio(joined)


@pytest.mark.parametrize(
    "tail",
    [b"TAG" + bytes(125), b"APETAGEX" + bytes(600), bytes(5000), b"LYRICSBEGIN" + b"x" * 200],
    ids=["id3v1", "ape", "zeros", "lyrics"],
)
def test_what_players_write_behind_an_mp3_is_no_damage(
    tail: bytes, files: dict[str, Path], signal: Float32
) -> None:
    # FFmpeg may forget to trim the encoder's padding then.
    assert 0 <= len(read_audio(files["mp3"].read_bytes() + tail)) - len(signal) < 1152


def test_damage_in_the_middle_is_named(files: dict[str, Path]) -> None:
    content = bytearray(files["flac"].read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    with pytest.raises(UserError, match="breaks off"):
        read_audio(bytes(content))


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_bytes_are_one_line_or_audio(
    name: str, files: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    rng, said = np.random.default_rng(0), list[AudioError]()
    for _ in range(8):
        content = bytearray(files[name].read_bytes())
        for place in (rng.integers(0, 200), rng.integers(0, len(content))):
            content[place : place + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, rng.bytes(4)])
        try:
            assert np.isfinite(read_audio(bytes(content))).all()
        except AudioError as error:
            said.append(error)
    assert all("\n" not in error.message and error.fault and error.hint for error in said)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("stated", [0, 1, 1000, 40_000])
def test_a_flac_that_understates_its_length_is_read_to_its_end(tmp_path: Path, stated: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 48_000)
    soundfile.write(tmp_path / "a.flac", samples, 16_000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    about = int.from_bytes(data[18:26], "big")
    data[18:26] = (about >> 36 << 36 | stated).to_bytes(8, "big")
    found = read_recording(bytes(data)).samples
    assert len(found) == 48_000
    assert np.abs(found - samples).max() < 1e-4


@pytest.mark.parametrize(("channels", "stated"), [(1, 2), (2, 8), (8, 1)])
def test_a_flac_whose_frames_have_other_channels_than_its_header_is_named(
    tmp_path: Path, channels: int, stated: int
) -> None:
    path = tmp_path / "x.flac"
    soundfile.write(path, 0.1 * np.random.default_rng(0).normal(size=(20_000, channels)), 16_000)
    content = bytearray(path.read_bytes())
    content[20] = content[20] & 0b1111_0001 | (stated - 1) << 1  # of STREAMINFO
    path.write_bytes(content)
    with pytest.raises(AudioError, match="cannot be decoded") as refused:
        read_recording(path)
    assert "\n" not in refused.value.message


def test_a_damaged_page_of_ogg_is_not_passed_over(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", np.random.default_rng(0).normal(0, 0.1, 96_000), 16_000)
    data = bytearray((tmp_path / "a.ogg").read_bytes())
    assert len(read_recording(bytes(data)).samples) == 96_000
    data[len(data) // 2] ^= 0x55
    with pytest.raises(AudioError, match=r"is damaged: .* s are missing at"):
        read_recording(bytes(data))


@pytest.mark.parametrize("rate_hz", [1, 2_000_000_000])
def test_an_impossible_rate_is_refused(tmp_path: Path, rate_hz: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(1000, 0.1), rate_hz)
    with pytest.raises(AudioError, match=f"its header says {rate_hz} samples a second"):
        read_recording(tmp_path / "a.wav")
