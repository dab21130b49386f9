"""What memories hold: words as bytes, so that millions of weights are packed, written and compared at once."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


def pack_rows(values: np.ndarray, width: int) -> np.ndarray:
    """Two's-complement integers [rows, lanes] side by side, the first lowest: uint8 [rows, bytes], little-endian.

    ``width`` is at most 63 bits. Bits above the last integer are 0.
    """
    values = np.asarray(values)
    if width == 8:
        return values.astype(np.uint8)
    bits = (values.astype(np.int64)[:, :, None] >> np.arange(width)) & 1
    return np.packbits(bits.astype(np.uint8).reshape(len(values), -1), axis=1, bitorder="little")


@dataclass(frozen=True, eq=False)
class Contents(Sequence):
    """The words of a memory, each of ``width`` bits: ``rows``, uint8 [words, bytes], little-endian."""

    rows: np.ndarray = field(repr=False)
    width: int

    @staticmethod
    def of(words: Sequence[int], width: int) -> "Contents":
        """From unsigned integers."""
        size = -(-width // 8)
        joined = b"".join(int(word).to_bytes(size, "little") for word in words)
        return Contents(np.frombuffer(joined, np.uint8).reshape(len(words), size), width)

    @staticmethod
    def packed(values: np.ndarray, width: int) -> "Contents":
        """From integers [words, lanes] of ``width`` bits, the first of a word lowest."""
        return Contents(pack_rows(values, width), width * values.shape[1])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at):
        if isinstance(at, slice):
            return [int.from_bytes(row.tobytes(), "little") for row in self.rows[at]]
        return int.from_bytes(self.rows[at].tobytes(), "little")

    @property
    def bits(self) -> int:
        """All words together."""
        return len(self) * self.width

    @cached_property
    def _digest(self) -> bytes:
        return hashlib.sha256(repr((self.width, self.rows.shape)).encode() + self.rows.tobytes()).digest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other) -> bool:
        return isinstance(other, Contents) and self._digest == other._digest

    def binary(self) -> str:
        """All bits as text, those of the last word first and the highest of a word first."""
        bits = np.unpackbits(self.rows, axis=1, count=self.width, bitorder="little")
        return (bits[::-1, ::-1] + ord("0")).astype(np.uint8).tobytes().decode("ascii")

    def hex_lines(self) -> str:
        """Text for ``$readmemh``: a word in each line."""
        digits, rows = -(-self.width // 4), np.ascontiguousarray(self.rows[:, ::-1])
        text, size = rows.tobytes().hex(), 2 * rows.shape[1]
        return "".join(f"{text[at + size - digits : at + size]}\n" for at in range(0, len(text), size))
