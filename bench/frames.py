"""WebSocket frames in few instructions: finds whole ones in what a server sent, and makes small ones to send to it."""

from __future__ import annotations

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def frames(data: bytes) -> tuple[list[tuple[int, int, int]], int]:
    """The whole frames at the beginning of `data` (from a server, so not masked): the opcode of each, and the start
    and end of its payload; and where the rest begins."""
    found, at, size = [], 0, len(data)
    while size - at >= 2:
        length, start = data[at + 1], at + 2
        if length >= 126:
            wide = 2 if length == 126 else 8
            length, start = int.from_bytes(data[start : start + wide], "big"), start + wide
        if start > size or start + length > size:
            break
        found.append((data[at] & 15, start, start + length))
        at = start + length
    return found, at


def client_frame(opcode: int, payload: bytes) -> bytes:
    """A frame as a client sends it, with a mask of zeros."""
    size = len(payload)
    head = bytes((0x80 | opcode, 0x80 | size)) if size < 126 else bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
    return head + bytes(4) + payload
