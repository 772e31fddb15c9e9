"""However large an image is: the memory of who carries it is not."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bridge.conftest import Bridge, Builder

MEBIBYTE = 1024 * 1024
# Of an interpreter with the libraries, and some pieces of 1 MiB in each of several queues.
RESIDENT_BYTES_MAX = 80 * MEBIBYTE


@pytest.mark.parametrize("layer_mebibytes", [96, pytest.param(1024, marks=pytest.mark.slow)])
def test_memory_is_bounded(layer_mebibytes: int, bridge: Bridge, builder: Builder, tmp_path: Path) -> None:
    chance = random.Random(layer_mebibytes)
    # Half of it can be compressed away.
    content = b"".join(chance.randbytes(MEBIBYTE) + bytes(MEBIBYTE) for _ in range(layer_mebibytes // 2))
    identity = bridge.identity(builder.image("vast:v1", content))
    del content
    assert resident(bridge, "push", "vast:v1") < RESIDENT_BYTES_MAX
    assert not list(bridge.spool.iterdir())
    bridge.engine.docker("rmi", "vast:v1")
    assert resident(bridge, "load", "vast:v1") < RESIDENT_BYTES_MAX
    assert bridge.identity("vast:v1") == identity


# What the kernel counts for a child begins with the pages of who made it: this looks at itself.
_PROGRAM = """
import pathlib, re, sys
from shoal.cli.app import execute

code = execute(sys.argv[1:])
print(re.search(r"VmHWM:\\s+([0-9]+) kB", pathlib.Path("/proc/self/status").read_text())[1])
sys.exit(code)
"""


def resident(bridge: Bridge, *words: str) -> int:
    """The most that `shoal image …` had in memory, in bytes. Raises if it fails."""
    command = [sys.executable, "-c", _PROGRAM, "image", *words]
    done = subprocess.run(command, env=bridge.shell.environment, stdout=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 0
    return int(done.stdout.split()[-1]) * 1024
