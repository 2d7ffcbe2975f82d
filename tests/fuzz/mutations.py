"""Mutations of files: of their bytes, and of the values that JSON holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

JUNK: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 0.5, -(10**30), 1e308, float("nan"), float("inf")),
    *(
        "",
        "x",
        "../../x",
        "\x00",
        "a\x00b",
        "\ud800",
        "\x1b[2J",
        "=1+1",
        "<script>alert(1)</script>",
        "é" * 300,
        "~nosuch/x",
    ),
    *([], {}, [[]], {"a": {"b": []}}, [None], ["x", 1], {"": ""}),
)
"""What nobody expects where something else is recorded; nothing that would merely take long."""

DEEP = b"[" * 100_000


def bytes_changed(random: Random, content: bytes) -> bytes:
    """Return the bytes with one to three changes: flipped, cut, overwritten, repeated or inserted."""
    for _ in range(random.randint(1, 3)):
        content = random.choice(_BYTES)(random, bytearray(content))
    return content


def cut(random: Random, content: bytes) -> bytes:
    """Return the beginning of the bytes, more often much of them than little."""
    return content[: int(len(content) * (1 - random.random() ** 2))][: max(len(content) - 1, 0)]


def _flip(random: Random, content: bytearray) -> bytes:
    for _ in range(random.randint(1, 8) if content else 0):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    return bytes(content)


def _overwrite(random: Random, content: bytearray) -> bytes:
    if not content:
        return b""
    start, length = random.randrange(len(content)), random.choice((1, 4, 8, 64))
    filling = random.choice((bytes(length), b"\xff" * length, random.randbytes(length)))
    content[start : start + length] = filling[: len(content) - start]
    return bytes(content)


def _repeat(random: Random, content: bytearray) -> bytes:
    start = random.randrange(len(content) + 1)
    piece = content[start : start + random.choice((1, 16, 256))]
    return bytes(content[:start] + piece * random.choice((2, 3, 50)) + content[start:])


def _insert(random: Random, content: bytearray) -> bytes:
    start = random.randrange(len(content) + 1)
    return bytes(content[:start] + random.choice((b"\0", b"\n", b"{", b"\xff\xfe", DEEP[:5000])) + content[start:])


_BYTES: tuple[Callable[[Random, bytearray], bytes], ...] = (_flip, _overwrite, _repeat, _insert, cut)


def json_changed(random: Random, content: bytes) -> bytes:
    """Return JSON of which one to three values, somewhere within, are missing, renamed or something else."""
    value = json.loads(content)
    for _ in range(random.randint(1, 3)):
        value = _value_changed(random, value)
    if random.random() < 0.02:
        return DEEP
    return json.dumps(value, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")


def _value_changed(random: Random, value: Any) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.85:
        key, how = random.choice(list(value)), random.random()
        rest = {name: each for name, each in value.items() if name != key}
        if how < 0.1:
            return rest
        if how < 0.2:
            return {**rest, random.choice(("x", "", f"{key}_", "\x00", "__class__")): value[key]}
        return {**value, key: _value_changed(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.7:
        place = random.randrange(len(value))
        return [*value[:place], _value_changed(random, value[place]), *value[place + 1 :]]
    return random.choice(JUNK)
