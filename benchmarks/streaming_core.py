"""Everything measured of the streaming core, with the command line of each table above it.

    nice python -m benchmarks.streaming_core --models ../shared/models > core.md

An hour or so on two cores: the hardware of six networks is compiled and run, a thousand random networks are simulated,
and more than a hundred configurations are synthesised for two families.
"""

import subprocess
import sys
from pathlib import Path

import click

#: Networks whose hardware is run; ``cycles --rtl --only resnet34`` takes as long as all of these.
HARDWARE = ("lenet5", "resnet8", "resnet20", "ds_cnn", "mobilenet_v1_vww", "mobilenet_v1")
#: Benchmarks with their options; those that take a folder of trained networks get it.
TRAINED = ("cycles", *(f"cycles --rtl --only {name}" for name in HARDWARE), "shortcuts")
OTHERS = ("schedules", "random_schedules --count 1000", "costs")


@click.command()
@click.option("--models", type=click.Path(path_type=Path), default=Path("../shared/models"), show_default=True)
def main(models: Path) -> None:
    """Run one benchmark after the other; the exit status is 1 if any failed."""
    commands = [f"{each} --models {models}" for each in TRAINED] + list(OTHERS)
    failed = [command for command in commands if not _run(command)]
    for command in failed:
        print(f"failed: python -m benchmarks.{command}", file=sys.stderr)
    sys.exit(bool(failed))


def _run(command: str) -> bool:
    """Whether the benchmark ended well; its output goes where ours goes."""
    print(f"\n## `python -m benchmarks.{command}`\n", flush=True)
    module, *options = command.split()
    return subprocess.run([sys.executable, "-m", f"benchmarks.{module}", *options], check=False).returncode == 0


if __name__ == "__main__":
    main()
