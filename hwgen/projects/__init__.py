"""Projects for vendors' tools, and drivers: what `build --project` writes beside the accelerator."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hwgen.accelerator import Accelerator, Hardware
from hwgen.dataflow.plan import Plan
from hwgen.device.targets import DEVICES, Device
from hwgen.graph.errors import InputError

from .baremetal import baremetal_files, baremetal_load_files
from .bench import load_vectors
from .dma import MOST_OUTPUTS
from .facts import BuildFacts, Facts
from .host import AVALON, AXI4
from .pynq import pynq_files, pynq_load_files
from .quartus import quartus_files
from .vivado import vivado_files

_NEAREST = 3  # devices that are named where another is not for a project


@dataclass(frozen=True)
class Project:
    """``files`` makes the files of its folder, ``loads`` those that go with the load of another network; it is for
    devices that it ``fits``, ``whose`` in words."""

    whose: str
    fits: Callable[[Device], bool]
    files: Callable[[BuildFacts], dict[str, str]]
    loads: Callable[[Facts], dict[str, str]]


PROJECTS = {
    "vivado": Project(
        "devices by AMD",
        lambda device: device.family.maker == "AMD",
        vivado_files,
        partial(load_vectors, dialect=AXI4),
    ),
    "quartus": Project(
        "devices by Intel",
        lambda device: device.family.maker == "Intel",
        quartus_files,
        partial(load_vectors, dialect=AVALON),
    ),
    "pynq": Project(
        "Zynq and Zynq UltraScale+ devices", lambda device: device.system is not None, pynq_files, pynq_load_files
    ),
    "baremetal": Project("any device", lambda device: True, baremetal_files, baremetal_load_files),
}


def check_projects(kinds: Iterable[str], device: Device) -> None:
    """Raise InputError for the first of ``kinds`` that is not for ``device``."""
    for kind in kinds:
        project = PROJECTS[kind]
        if not project.fits(device):
            names = [each.name for each in DEVICES if project.fits(each)]
            more = f", or one of {len(names) - _NEAREST} more (`devices` lists them)" if len(names) > _NEAREST else ""
            raise InputError(
                f"--project {kind} is for {project.whose}, not for {device.name}; take --device "
                f"{', '.join(names[:_NEAREST])}{more}, or leave out --project {kind}"
            )


def check_connected(kinds: Iterable[str], plan: Plan) -> None:
    """Raise InputError where ``plan`` reads from DRAM, and there are any ``kinds``."""
    names = " ".join(f"--project {kind}" for kind in kinds)
    if names and plan.memories:
        raise InputError(
            f"{names}: the design reads weights from DRAM, to which no project connects it yet; leave projects out and "
            "connect m_axi yourself"
        )


def project_files(kinds: Iterable[str], made: Accelerator) -> dict[str, str]:
    """The files of the projects ``kinds`` for what was ``made``, each kind in a folder of its name."""
    kinds = tuple(dict.fromkeys(kinds))
    if not kinds:
        return {}
    check_projects(kinds, made.device)
    check_connected(kinds, made.plan)
    outputs = len(made.network.results)
    if outputs > MOST_OUTPUTS and kinds != ("quartus",):
        raise InputError(
            f"--project {' --project '.join(kinds)}: {outputs} streams leave the network, and a DMA for each is more "
            f"than the {MOST_OUTPUTS} that one memory port takes; end the network elsewhere with --outputs"
        )
    facts = BuildFacts(made)
    return {f"{kind}/{name}": text for kind in kinds for name, text in PROJECTS[kind].files(facts).items()}


def built_projects(folder: str | Path) -> tuple[str, ...]:
    """The projects in the ``folder`` of a build."""
    return tuple(kind for kind in PROJECTS if (Path(folder) / kind).is_dir())


def loaded_files(kinds: Iterable[str], made: Hardware) -> dict[str, str]:
    """What the projects ``kinds`` of the hardware need for the network in it, ``made`` anew; all in one folder."""
    facts = Facts(made)
    return {name: text for kind in kinds for name, text in PROJECTS[kind].loads(facts).items()}
