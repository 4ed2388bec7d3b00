"""A microphone as a source of packets, through PortAudio (extra `microphone`)."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from soundflow.errors import UserError, not_installed

Float32 = npt.NDArray[np.float32]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenedMicrophone:
    """A device that records.

    Attributes:
        blocks: mono float32 packets in [-1, 1] as they arrive; closing the iterator stops it.
        rate_hz: of the packets; a device need not have the rate that was asked for.
    """

    name: str
    blocks: Iterator[Float32]
    rate_hz: int


# (device, wanted rate in Hz, packet length in seconds)
OpenMicrophone = Callable[[str | None, int, float], OpenedMicrophone]


def open_microphone(device: str | None, rate_hz: int, packet_s: float) -> OpenedMicrophone:
    """Opens an input device; it records from the first block that is asked for.

    Args:
        device: its number, or part of its name; the system's choice where None.
        rate_hz: the rate wanted; where the device refuses it, its own is used.

    Raises:
        UserError: if `sounddevice` or PortAudio is missing, or there is no such device.
    """
    portaudio = _portaudio()
    wanted = int(device) if device is not None and device.isdecimal() else device
    try:
        about = portaudio.query_devices(wanted, "input")
    except (portaudio.PortAudioError, ValueError) as error:
        raise UserError(f"microphone: {_line(error)}", _known(portaudio)) from error
    try:
        portaudio.check_input_settings(device=wanted, channels=1, samplerate=rate_hz)
    except portaudio.PortAudioError:
        rate_hz = int(about["default_samplerate"])
    blocks = _blocks(portaudio, wanted, rate_hz, packet_s)
    return OpenedMicrophone(str(about["name"]), blocks, rate_hz)


def _portaudio() -> ModuleType:
    try:
        import sounddevice
    except ImportError as error:
        raise not_installed("sounddevice, which reads a microphone,", "microphone") from error
    except OSError as error:
        raise UserError(
            "PortAudio, which sounddevice needs, is not installed here",
            "install it (Debian, Ubuntu: apt install libportaudio2), or pipe audio into '-'",
        ) from error
    module: ModuleType = sounddevice
    return module


def _blocks(
    portaudio: ModuleType, device: int | str | None, rate_hz: int, packet_s: float
) -> Iterator[Float32]:
    arrived: queue.SimpleQueue[Float32] = queue.SimpleQueue()

    def take(samples: Float32, frames: int, when: Any, status: Any) -> None:
        # PortAudio's own thread: nothing may wait here, and its buffer is used again.
        if status.input_overflow:
            log.warning("microphone: the machine was too slow, some audio is lost")
        arrived.put(samples[:, 0].copy())

    try:
        with portaudio.InputStream(
            samplerate=rate_hz, device=device, channels=1, dtype="float32",
            blocksize=max(1, round(packet_s * rate_hz)), callback=take,
        ):  # fmt: skip
            while True:
                yield arrived.get()
    except portaudio.PortAudioError as error:
        raise UserError(f"microphone: {_line(error)}", _known(portaudio)) from error


def _known(portaudio: ModuleType) -> str:
    names = [
        f"{number} {device['name']}"
        for number, device in enumerate(portaudio.query_devices())
        if device["max_input_channels"]
    ]
    return "input devices: " + "; ".join(names) if names else "this machine has no input device"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
