"""Damaged JSON is a ValueError, whatever its shape."""

from __future__ import annotations

import pytest

from soundflow.stored_json import parsed


def test_what_is_json_is_read() -> None:
    assert parsed(b'{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, b"\xff\xfe", '{"a":' * 100_000])
def test_what_is_none_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed(text)
