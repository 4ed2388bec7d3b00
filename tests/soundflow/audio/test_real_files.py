"""What real encoders write, whole, in part, cut, joined and damaged: read right, or named."""

from __future__ import annotations

import io
import os
import pickle
import resource
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import correlate

from soundflow.audio.files import AudioBlocks, AudioError, duration_s, read_audio, read_recording
from soundflow.errors import UserError
from tests.soundflow.audio.encoded import Float32, chirps, encode

RATE = 16_000
SECONDS = 6.0
# name -> (container, codec, options, samples that the codec may add at the end)
FORMATS: dict[str, tuple[str, str, dict[str, str], int]] = {
    "mp3": ("mp3", "libmp3lame", {}, 0),
    "mp3 without a Xing header": ("mp3", "libmp3lame", {"write_xing": "0"}, 1500),
    "mp2": ("mp2", "mp2", {}, 1200),
    "m4a": ("ipod", "aac", {}, 1100),
    "m4a, index first": ("ipod", "aac", {"movflags": "faststart"}, 1100),
    "mp4, fragmented": ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov"}, 2100),
    "alac": ("ipod", "alac", {}, 0),
    "aac": ("adts", "aac", {}, 2100),
    "webm": ("webm", "libopus", {}, 0),
    "webm, live": ("webm", "libopus", {"live": "1"}, 0),
    "ogg": ("ogg", "libopus", {}, 0),
    "flac in ogg": ("ogg", "flac", {}, 0),
    "flac": ("flac", "flac", {}, 0),
    "wav": ("wav", "pcm_s16le", {}, 0),
    "wav, adpcm": ("wav", "adpcm_ima_wav", {}, 2100),
    "wav of 24 bits": ("wav", "pcm_s24le", {}, 0),
    "rf64": ("wav", "pcm_s16le", {"rf64": "always"}, 0),
    "aiff": ("aiff", "pcm_s16be", {}, 0),
    "au": ("au", "pcm_s16be", {}, 0),
    "caf": ("caf", "pcm_s16le", {}, 0),
    "w64": ("w64", "pcm_s16le", {}, 0),
    "mkv": ("matroska", "aac", {}, 2100),
    "ts": ("mpegts", "aac", {}, 2100),
}
# Cut at these, the container still opens and tells how much there is.
CUT_SAYS_NOTHING_OF_TIME = ("m4a", "alac")


@pytest.fixture(scope="module")
def signal() -> Float32:
    return chirps(RATE, SECONDS)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, signal: Float32) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoded")
    return {
        name: encode(folder / f"{i}.bin", signal, RATE, container, codec, options)
        for i, (name, (container, codec, options, _)) in enumerate(FORMATS.items())
    }


def likeness(audio: Float32, wanted: Float32) -> float:
    """The highest correlation of ``wanted`` with any place of ``audio``."""
    products = correlate(audio, wanted, "valid", "fft")
    powers = np.cumsum(np.square(audio, dtype=np.float64))
    spans = powers[len(wanted) - 1 :] - np.concatenate(([0.0], powers[: -len(wanted)]))
    return float((products / np.sqrt(spans * np.square(wanted).sum())).max())


@pytest.mark.parametrize("name", FORMATS)
def test_read_to_the_end(name: str, files: dict[str, Path], signal: Float32) -> None:
    audio = read_audio(files[name])
    assert 0 <= len(audio) - len(signal) <= FORMATS[name][3]
    # The encoder's delay moves the audio by at most its padding.
    assert likeness(audio[: 40_000 + FORMATS[name][3]], signal[:40_000]) > 0.9
    assert duration_s(files[name]) == pytest.approx(len(audio) / RATE, abs=1e-4)
    assert np.array_equal(read_audio(files[name].read_bytes()), audio)


@pytest.mark.parametrize("name", FORMATS)
def test_a_part_is_that_part_of_the_whole(name: str, files: dict[str, Path]) -> None:
    whole = read_audio(files[name])
    part = read_audio(files[name], start_s=3.01, end_s=4.5)
    assert len(part) == round(1.49 * RATE)
    # At its edges the resampler (Opus decodes at 48 kHz) knows only the part.
    inner = slice(200, len(part) - 200)
    assert np.allclose(part[inner], whole[48_160:72_000][inner], atol=1e-4)


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


@pytest.mark.parametrize(
    "name", ["mp3", "mp3 without a Xing header", "aac", "ogg", "flac in ogg", "flac", "webm"]
)
def test_joined_files_are_read_whole(name: str, tmp_path: Path, signal: Float32) -> None:
    container, codec, options, extra = FORMATS[name]
    other = chirps(RATE, 4.0, seed=1)
    first = encode(tmp_path / "1.bin", signal, RATE, container, codec, options)
    second = encode(tmp_path / "2.bin", other, RATE, container, codec, options)
    joined = tmp_path / "joined.bin"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    audio = read_audio(joined)
    both = len(signal) + len(other)
    assert both - 2000 <= len(audio) <= both + 2 * extra + 2500  # a joint may cost a frame
    assert likeness(audio[-24_500:], other[-20_000:-4_000]) > 0.9
    late = read_audio(joined, start_s=7.0, end_s=9.0)
    inner = slice(200, -200)
    assert np.allclose(late[inner], audio[7 * RATE : 9 * RATE][inner], atol=1e-4)


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


def test_gsm_in_wav(tmp_path: Path) -> None:
    path = tmp_path / "gsm.wav"
    soundfile.write(path, chirps(8_000, 3.0), 8_000, subtype="GSM610")
    audio = read_audio(path)
    assert abs(len(audio) - 3 * RATE) <= 640
    part = read_audio(path, start_s=1.0, end_s=2.0)
    assert np.allclose(part[200:-200], audio[16_000:32_000][200:-200], atol=1e-4)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF024, 0])
def test_lengths_that_a_streaming_writer_leaves(size: int, tmp_path: Path) -> None:
    samples = chirps(RATE, 1.0)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype="PCM_16")
    content = bytearray(buffer.getvalue())
    content[4:8] = struct.pack("<I", min(size + 36, 0xFFFFFFFF))
    content[40:44] = struct.pack("<I", size)
    (tmp_path / "a.wav").write_bytes(content)
    assert np.allclose(read_audio(tmp_path / "a.wav"), samples, atol=1e-4)


def test_flac_of_unknown_length(tmp_path: Path) -> None:
    path = tmp_path / "stream.flac"
    soundfile.write(path, chirps(RATE, 1.0), RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the 36 bits of the total number of samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert len(read_audio(path)) == RATE


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


def test_pipes_are_read_to_their_end(files: dict[str, Path], tmp_path: Path) -> None:
    for name in ("wav", "m4a", "mp3", "flac"):
        pipe = tmp_path / f"{name}.fifo"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(files[name].read_bytes(),))
        writer.start()
        audio = read_audio(pipe)
        writer.join()
        assert np.array_equal(audio, read_audio(files[name]))


def test_a_descriptor_of_a_pipe(files: dict[str, Path]) -> None:
    """What a shell's process substitution hands over: /dev/fd/N."""
    read_end, write_end = os.pipe()

    def write() -> None:
        with os.fdopen(write_end, "wb") as file:
            file.write(files["wav"].read_bytes())

    writer = threading.Thread(target=write)
    writer.start()
    audio = read_audio(f"/dev/fd/{read_end}")
    writer.join()
    os.close(read_end)
    assert np.array_equal(audio, read_audio(files["wav"]))


def test_names_that_cannot_be_opened_are_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file.wav").write_bytes(b"x")
    for source, said in [
        ("/dev/zero", "is a device"),
        (tmp_path / "file.wav" / "below.wav", "no such file"),
        (tmp_path / ("x" * 300), "cannot be read"),
        ("nul\0.wav", "cannot be read"),
    ]:
        with pytest.raises(AudioError, match=said) as caught:
            read_audio(source)
        assert "\n" not in caught.value.message
        again = pickle.loads(pickle.dumps(caught.value))
        assert (str(again), again.fault) == (str(caught.value), caught.value.fault)


def test_a_part_beyond_the_end_is_refused(files: dict[str, Path]) -> None:
    assert len(read_audio(files["wav"], start_s=5.0, end_s=6.05)) == RATE  # rounded up
    with pytest.raises(
        UserError, match=r"before the requested part .*\(at 6\.00 s, before 6\.5 s\)"
    ):
        read_audio(files["wav"], start_s=5.0, end_s=6.5)
    with pytest.raises(UserError, match=r"holds no audio \(from 7 s to 8 s"):
        read_audio(files["wav"], start_s=7.0, end_s=8.0)
    assert len(read_audio(files["wav"], start_s=5.0, limit_s=3.0)) == RATE
    assert len(read_audio(files["wav"], limit_s=3.0, end_s=9.0)) == 3 * RATE


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_blocks_are_the_whole(rate_hz: int, tmp_path: Path) -> None:
    import soxr

    samples = chirps(rate_hz, 3.3)
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    blocks = list(AudioBlocks(path))
    assert len(blocks) > 1
    assert np.array_equal(np.concatenate(blocks), soxr.resample(samples, rate_hz, RATE))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """6 minutes of stereo at 48 kHz are 138 MB of float32."""
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 48_000, 2) as file:
        for _ in range(6):
            file.write(np.zeros((48_000 * 60, 2), np.int16))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(len(block) for block in AudioBlocks(path)) == 6 * 60 * RATE
    assert len(read_audio(path, start_s=300.0, end_s=305.0)) == 5 * RATE
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # kB


def wav(samples: Float32, rate_hz: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def test_opposite_channels_are_not_summed_to_silence(signal: Float32) -> None:
    for factor in (-1.0, -0.9, -0.5):
        heard = read_recording(wav(np.stack([signal, factor * signal], axis=1)))
        np.testing.assert_allclose(heard.samples, signal, atol=1e-6)
        assert heard.warnings == ("its channels cancel each other: channel 1 is used alone",)


def test_channels_that_cancel_for_a_while_are_noticed(signal: Float32) -> None:
    right = signal.copy()
    right[:32_000] *= -1
    heard = read_recording(wav(np.stack([0.8 * right, signal], axis=1)))
    np.testing.assert_allclose(heard.samples, signal, atol=1e-6)
    assert "cancel" in heard.warnings[0]


def test_a_dead_channel_does_not_halve_the_level(signal: Float32) -> None:
    for dead in (np.zeros_like(signal), np.full_like(signal, 0.1), signal * 1e-4):
        heard = read_recording(wav(np.stack([dead, signal], axis=1)))
        np.testing.assert_allclose(heard.samples, signal, atol=1e-6)
        assert heard.warnings == ("channel 1 is silent: used 2",)


def test_related_and_unrelated_channels_are_averaged(signal: Float32) -> None:
    for other in (signal, chirps(RATE, SECONDS, seed=5), 0.1 * signal):
        heard = read_recording(wav(np.stack([signal, other], axis=1)))
        np.testing.assert_allclose(heard.samples, (signal + other) / 2, atol=1e-6)
        assert heard.warnings == ()
    silent = read_recording(wav(np.zeros((RATE, 2), np.float32)))
    assert not silent.samples.any()


def test_an_offset_and_a_second_track_are_said(signal: Float32, tmp_path: Path) -> None:
    assert "constant offset of +0.1" in read_recording(wav(signal + np.float32(0.1))).warnings[0]
    path = encode(tmp_path / "two.mkv", signal, RATE, "matroska", "flac", tracks=2)
    assert read_recording(path).warnings == ("it has 2 audio tracks: the first is used",)


@pytest.mark.parametrize(
    ("value", "said"),
    [(1e30, r"far beyond full scale \(1e\+30 times, at 1\.00 s\)"), (20_000.0, "divided by 32768"),
     (np.nan, r"NaN or infinity \(at 1\.00 s\)"), (-np.inf, "NaN or infinity")],
)  # fmt: skip
def test_samples_out_of_range_are_refused(value: float, said: str, signal: Float32) -> None:
    damaged = signal.copy()
    damaged[RATE] = value
    with pytest.raises(UserError, match=said):
        read_audio(wav(damaged))
    loud = read_audio(wav(signal * 10))  # +10 dB over full scale is only loud
    np.testing.assert_allclose(loud, signal * 10, rtol=1e-6)


def test_warnings_reach_the_log(signal: Float32, caplog: pytest.LogCaptureFixture) -> None:
    read_audio(wav(np.stack([signal, -signal], axis=1)), name="talk.wav")
    assert caplog.messages == ["talk.wav: its channels cancel each other: channel 1 is used alone"]


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
