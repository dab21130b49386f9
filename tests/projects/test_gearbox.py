"""The gearbox: every byte in its place, at any pace, and the stream contract proved."""

from math import gcd
from random import Random

import pytest

from hwgen.hdl.formal import prove_contract
from hwgen.projects.gearbox import Gearbox
from hwgen.testing import Simulated

WIDTHS = [(4, 1), (1, 4), (4, 4), (4, 3), (3, 4), (8, 6), (6, 8), (16, 5), (4, 25), (25, 4)]


def payloads(blob: bytes, size: int, unit: int) -> list[int]:
    """A transfer as words of ``size`` bytes: data, empty units, last."""
    empty_bits = (size // unit - 1).bit_length()
    words = []
    for at in range(0, len(blob), size):
        part = blob[at : at + size]
        empty, last = (size - len(part)) // unit, at + size >= len(blob)
        words.append(int.from_bytes(part, "little") | empty << 8 * size | last << (8 * size + empty_bits))
    return words


def transfers(taken: int, given: int) -> list[bytes]:
    """Of whole words on the side that has no partial ones: the one whose width is no power of two, or either."""
    random = Random(taken * 100 + given)
    whole = max((width for width in (taken, given) if width & (width - 1)), default=min(taken, given))
    return [random.randbytes(whole * count) for count in (1, 7, 2, 16, 3)]


@pytest.mark.parametrize(("taken", "given"), WIDTHS)
def test_bytes_keep_their_order(taken, given):
    unit, blobs = gcd(taken, given), transfers(taken, given)
    send = [word for blob in blobs for word in payloads(blob, taken, unit)]
    want = [word for blob in blobs for word in payloads(blob, given, unit)]
    for stall in (None, 1, 2, 3):
        _, found = Simulated(Gearbox(taken, given))({"i": send}, {"o": len(want)}, stall=stall, limit=20_000)
        assert list(found["o"].payloads) == want


@pytest.mark.parametrize(("taken", "given"), WIDTHS)
def test_the_narrower_side_moves_in_every_cycle_of_a_transfer(taken, given):
    unit, blob = gcd(taken, given), Random(1).randbytes(taken * given * 5)
    send, want = payloads(blob, taken, unit), payloads(blob, given, unit)
    sent, found = Simulated(Gearbox(taken, given))({"i": send}, {"o": len(want)})
    trace = sent["i"] if taken < given else found["o"]
    assert list(trace.cycles) == list(range(trace.cycles[0], trace.cycles[0] + len(trace.cycles)))
    assert found["o"].cycles[0] - sent["i"].cycles[0] == -(-given // taken)


@pytest.mark.parametrize(("taken", "given"), [(4, 1), (1, 4), (4, 4), (4, 3), (3, 4), (16, 5)])
def test_the_stream_contract_is_proved(taken, given):
    prove_contract(Gearbox(taken, given))
