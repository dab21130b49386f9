"""Every stage of a plan synthesised for itself: each kind once, several at a time, and remembered on disk.

Stages that are the same hardware have the same RTLIL, and are synthesised once. The counts of cells are kept in the
user's cache folder by what Yosys was given and by its version, so that the next run takes seconds.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, as_completed
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwgen.dataflow.fit import by_layer
from hwgen.device.mapping import needs
from hwgen.device.needs import Needs
from hwgen.device.synth import TIMEOUT, check_synthesis, count, script, synthesise
from hwgen.device.targets import Device
from hwgen.hdl.rtlil import to_rtlil
from hwgen.tools import cache
from hwgen.tools.process import threads
from hwgen.tools.yosys import release

if TYPE_CHECKING:
    from hwgen.dataflow.plan import Plan


@dataclass(frozen=True)
class StageCounts:
    """What Yosys counts and what is estimated for ``device``, by stage; ``kinds`` different ones were synthesised."""

    device: Device
    counted: Mapping[str, Needs]
    estimated: Mapping[str, Needs]
    kinds: int

    def layers(self, plan: "Plan") -> dict[str, tuple[Needs, Needs]]:
        """Estimated and counted, by layer, with what stands before and behind it."""
        estimated, counted = (by_layer(plan, stages) for stages in (self.estimated, self.counted))
        return {layer: (estimated[layer], counted[layer]) for layer in estimated}

    @property
    def total(self) -> Needs:
        """All that was counted."""
        return sum(self.counted.values(), Needs())


def count_stages(
    plan: "Plan",
    device: Device,
    jobs: int | None = None,
    progress: Callable[[float], None] = lambda share: None,
    timeout: float = TIMEOUT,
) -> StageCounts:
    """Synthesise the stages of ``plan`` for ``device``, ``jobs`` at a time, by default as many as there are processors.

    Raises :class:`hwgen.graph.errors.FitError` where Yosys has nothing for the family, refuses a stage or takes longer
    than ``timeout`` seconds for it.
    """
    kinds: dict[str, Future] = {}
    names = {}
    with threads(jobs or os.cpu_count() or 1) as pool:
        for stage in plan.stages:
            with stage.placing():
                text = to_rtlil(stage.unit.block(), "top", cells=True)
            kind = names[stage.name] = hashlib.sha256(text.encode()).hexdigest()
            if kind not in kinds:
                kinds[kind] = pool.submit(remembered, text, "top", device, timeout)
        for done, future in enumerate(as_completed(kinds.values()), 1):
            future.result()
            progress(done / len(kinds))
    counted = {name: kinds[kind].result() for name, kind in names.items()}
    estimated = {stage.name: needs(stage.cost, device) for stage in plan.stages}
    return StageCounts(device, counted, estimated, len(kinds))


def remembered(text: str, top: str, device: Device, timeout: float = TIMEOUT) -> Needs:
    """What :func:`hwgen.device.synth.synthesise` counts, from the cache if it is there."""
    check_synthesis(device)
    given = script(text, top, device) + text + release()
    file = cache.folder("synthesised") / f"{hashlib.sha256(given.encode()).hexdigest()}.json"
    with suppress(OSError, ValueError):
        return count(json.loads(file.read_text(encoding="utf-8")), device)
    cells = synthesise(text, top, device, timeout=timeout)
    cache.keep(file, json.dumps(cells))
    return count(cells, device)
