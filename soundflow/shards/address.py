"""Where a folder of built data is: a path, or the address of a folder in a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import PlainValidator

from soundflow.errors import UserError

_MARK = "://"


class Url(str):
    """The address of a folder, for any protocol that fsspec knows: s3://bucket/data, https://...

    It never holds credentials: those are taken from the environment and the files that the store's
    own tools read, so that an address can be recorded and shown.

    Raises:
        ValueError: if it has credentials, a query or a fragment.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Url:
        parts = urlsplit(text)
        if not parts.scheme or _MARK not in text:
            raise ValueError("expected PROTOCOL://FOLDER")
        if "@" in parts.netloc or parts.query or parts.fragment:
            # The text is not repeated: it may hold a password.
            raise ValueError(
                f"an address {parts.scheme}{_MARK}... holds no credentials, query or fragment; "
                "the store's own environment variables and files have the credentials"
            )
        return super().__new__(cls, text.rstrip("/") if parts.path else text)

    def __truediv__(self, name: str) -> Url:
        return Url(f"{self.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        return self.rpartition("/")[2]


def address(text: str | Path) -> Path | Url:
    """A path, or an address where the text says ``protocol://``.

    Raises:
        ValueError: if it is an address that `Url` refuses.
    """
    return Url(text) if isinstance(text, str) and _MARK in text else Path(text)


def open_address(text: str | Path) -> Path | Url:
    """`address` of what a person named.

    Raises:
        UserError: if it holds credentials.
    """
    try:
        return address(text)
    except ValueError as error:
        raise UserError(str(error), "name a folder or its address in a store") from error


def is_missing(folder: Path | Url) -> bool:
    """Whether nothing is at a path; of what is in a store, reading it tells."""
    return isinstance(folder, Path) and not folder.exists()


def _setting(value: Any) -> Path | Url:
    if not isinstance(value, str | Path) or value == "":
        raise ValueError(f"expected a path or PROTOCOL://FOLDER, got {value!r}")
    return address(value)


# Of a folder that is only read.
DataFolder = Annotated[Path | Url, PlainValidator(_setting)]
