"""Audio models that listen continuously and decide when to speak."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soundflow.api import AudioInteraction

__all__ = ["AudioInteraction"]

# Read when onnxruntime is imported, which Lightning's metrics do too: it reports to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    # Loaded when it is asked for: `soundflow --help` and data building need no torch.
    if name == "AudioInteraction":
        from soundflow.api import AudioInteraction

        return AudioInteraction
    raise AttributeError(f"module 'soundflow' has no attribute {name!r}")
