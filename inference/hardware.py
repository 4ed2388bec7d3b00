"""The machine that figures of speed belong to."""

from __future__ import annotations

import os
import platform

import torch


def hardware(device: str | torch.device = "cpu") -> str:
    """What computes on ``device``, cores, threads used, and torch's version, in one line."""
    on_gpu = torch.device(device).type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else _processor()
    return (
        f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s), "
        f"torch {torch.__version__}"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123 - not a regular file
            names = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
