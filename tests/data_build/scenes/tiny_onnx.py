"""Writes the smallest ONNX models that really run, straight as protocol buffers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FLOAT, INT64 = 1, 7


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(raw)) + raw


def _tensor(name: str, array: np.ndarray[Any, Any]) -> bytes:
    kind = INT64 if array.dtype == np.int64 else FLOAT
    dims = b"".join(_int(1, n) for n in array.shape)
    return dims + _int(2, kind) + _bytes(8, name) + _bytes(9, array.tobytes())


def _node(kind: str, inputs: list[str], output: str, attributes: bytes = b"") -> bytes:
    return b"".join(_bytes(1, name) for name in inputs) + (
        _bytes(2, output) + _bytes(4, kind) + attributes
    )


def _value(name: str, kind: int, dims: tuple[int | str, ...]) -> bytes:
    shape = b"".join(_bytes(1, _int(1, d) if isinstance(d, int) else _bytes(2, d)) for d in dims)
    return _bytes(1, name) + _bytes(2, _bytes(1, _int(1, kind) + _bytes(2, shape)))


def _model(
    path: Path, nodes: list[bytes], tensors: list[bytes], ins: list[bytes], out: bytes
) -> Path:
    graph = b"".join(_bytes(1, node) for node in nodes) + _bytes(2, "g")
    graph += b"".join(_bytes(5, tensor) for tensor in tensors)
    graph += b"".join(_bytes(11, entry) for entry in ins) + _bytes(12, out)
    opset = _bytes(1, "") + _int(2, 13)
    path.write_bytes(_int(1, 8) + _bytes(7, graph) + _bytes(8, opset))
    return path


def embedding_model(path: Path, table: np.ndarray[Any, Any]) -> Path:
    """input_ids (b, n) -> rows of ``table`` (b, n, d)."""
    return _model(
        path,
        [_node("Gather", ["table", "input_ids"], "hidden")],
        [_tensor("table", table.astype(np.float32))],
        [_value("input_ids", INT64, ("b", "n"))],
        _value("hidden", FLOAT, ("b", "n", table.shape[1])),
    )


def band_model(path: Path, weights: np.ndarray[Any, Any]) -> Path:
    """audio (1, 1, 96, 64) -> mean over time (64,) @ ``weights`` (64, classes)."""
    axes = _bytes(5, _bytes(1, "axes") + _int(8, 1) + _int(8, 2) + _int(20, 7))
    keep = _bytes(5, _bytes(1, "keepdims") + _int(3, 0) + _int(20, 2))
    return _model(
        path,
        [
            _node("ReduceMean", ["audio"], "mean", axes + keep),
            _node("MatMul", ["mean", "weights"], "class_scores"),
        ],
        [_tensor("weights", weights.astype(np.float32))],
        [_value("audio", FLOAT, (1, 1, 96, 64))],
        _value("class_scores", FLOAT, (1, weights.shape[1])),
    )
