"""What DRAM must hold before the first frame: a header, and the regions that units read, each from a page on."""

import struct
from itertools import accumulate

from hwgen.dataflow.plan import Plan
from hwgen.memory.dram.contract import PAGE
from hwgen.tools.fingerprint import fingerprint

#: What an image begins with, and the version of its layout.
MAGIC, VERSION = b"hwgenimg", 1
#: Magic, version, pages of the image, and what it was made for; little-endian.
_HEADER = struct.Struct("<8sII16s")


def pages(plan: Plan) -> list[int]:
    """The page at which each region begins, in the order of ``plan.memories``, and the number of all pages."""
    return list(accumulate((unit.read.pages for unit in plan.memories.values()), initial=1))


def header(plan: Plan) -> bytes:
    """What tells the image of one design from that of another: a hash of the plan and of all its constants."""
    return _HEADER.pack(MAGIC, VERSION, pages(plan)[-1], bytes.fromhex(fingerprint(plan))[:16])


def image(plan: Plan) -> bytes:
    """All pages; what no region takes is 0."""
    parts = [header(plan), *(unit.image for unit in plan.memories.values())]
    return b"".join(part.ljust(-(-len(part) // PAGE) * PAGE, b"\0") for part in parts)
