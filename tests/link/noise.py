"""Lines that lose, add and change bytes, for tests of what must stand that."""

import numpy as np


class Noisy:
    """``line`` with a share of all bytes, both ways, lost, followed by an extra one, or changed in one bit."""

    def __init__(self, line, share: float, seed: int):
        self.line, self.share = line, share
        self.random = np.random.default_rng(seed)
        self.name, self.byte, self.patience = line.name, line.byte, line.patience
        self.bytes = self.corrupted = 0

    def now(self) -> float:
        return self.line.now()

    def write(self, data: bytes) -> None:
        self.line.write(self._through(data))

    def read(self, wait: float) -> bytes:
        return self._through(self.line.read(wait))

    def _through(self, data: bytes) -> bytes:
        chosen = np.flatnonzero(self.random.random(len(data)) < self.share)
        self.bytes += len(data)
        self.corrupted += len(chosen)
        out, last = bytearray(), 0
        for at in map(int, chosen):
            out += data[last:at]
            last = at + 1
            match self.random.integers(3):
                case 0:  # lost
                    pass
                case 1:
                    out += bytes((data[at], int(self.random.integers(256))))
                case _:
                    out.append(data[at] ^ 1 << int(self.random.integers(8)))
        return bytes(out + data[last:])
