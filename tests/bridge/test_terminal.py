"""Bars for people, and nothing but the answer for programs."""

import random
import sys

from tests.bridge.conftest import Bridge, Builder
from tests.ground.typist import Typist


def test_bars_on_a_terminal(bridge: Bridge, builder: Builder) -> None:
    builder.image("shown:v1", random.Random(11).randbytes(2_000_000))
    command, environment = [sys.executable, "-m", "shoal.cli", "image"], {**bridge.shell.environment, "TERM": "xterm"}
    with Typist([*command, "push", "shown:v1"], environment) as typist:
        typist.sees("engine works")
        typist.sees("pushed")
        typist.sees("1.9/1.9 MiB")
        typist.sees("shown:v1 is pushed: ")
        typist.sees(f"{bridge.registry.address}/shown@sha256:")
        assert typist.left() == 0
    bridge.engine.docker("rmi", "shown:v1")
    with Typist([*command, "load", "shown:v1"], environment) as typist:
        typist.sees("pulled")
        typist.sees("engine works")
        typist.sees("shown:v1")
        assert typist.left() == 0
    with Typist([*command, "push", "shown:v1", "-o", "json"], environment) as typist:
        assert typist.left() == 0
        assert typist.shown.startswith(b"{")
        assert b"\x1b" not in typist.shown
