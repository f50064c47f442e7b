"""Messages of protocol buffers, read without their library: fields by number, every length checked."""

from __future__ import annotations

from typing import Any, Final

MAX_FIELDS: Final = 1_000_000
"""Fields a message may have."""


def fields_of(image: Any) -> list[tuple[int, Any]]:
    """Return the fields of a message.

    Args:
        image: bytes of the message; what is none is refused.

    Returns:
        Number and value of each, in order: an int, or bytes of text, of a message, or of numbers of fixed size.

    Raises:
        ValueError: malformed.
    """
    if not isinstance(image, bytes):
        raise ValueError("a number where a message is expected")
    found: list[tuple[int, Any]] = []
    at = 0
    while at < len(image):
        if len(found) >= MAX_FIELDS:
            raise ValueError("more fields than any model has")
        tag, at = read_varint(image, at)
        kind, length = tag & 7, 0
        if kind == 0:
            value, at = read_varint(image, at)
            found.append((tag >> 3, value))
            continue
        if kind == 2:
            length, at = read_varint(image, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if at + length > len(image):
            raise ValueError("a field beyond its message")
        found.append((tag >> 3, image[at : at + length]))
        at += length
    return found


def first_of(fields: list[tuple[int, Any]], number: int, default: Any) -> Any:
    """Return the value of a field.

    Args:
        fields: from `fields_of`.
        number: of the field.
        default: where the message has none; its type is that of the value.

    Returns:
        The first value.

    Raises:
        ValueError: it is of another type.
    """
    value = next((value for found, value in fields if found == number), default)
    if type(value) is not type(default):
        raise ValueError(f"field {number} is of another type")
    return value


def read_varint(image: bytes, at: int) -> tuple[int, int]:
    """Return a number of variable length, and where it ends.

    Args:
        image: the bytes.
        at: where it starts.

    Returns:
        The number, at least 0, and the place after it.

    Raises:
        ValueError: it is too long.
        IndexError: it goes beyond the end.
    """
    value = 0
    for shift in range(0, 63, 7):
        byte = image[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError("a number too long")
