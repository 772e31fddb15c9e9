"""What a program gets from the machine below it, replaced for the time of a simulation: clocks, chance, gRPC.

It is done where the libraries begin and not by parameters all through the programs, so that no code of theirs can
forget to ask: whatever tells the time tells the simulation's, by the clock of the process that asks.
"""

import gc
import logging
import os
import random
import secrets
import socket
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import grpc

from tests.simulation.ring2.channel import Channel
from tests.simulation.ring2.loop import CURRENT, VirtualLoop
from tests.simulation.ring2.network import Certificate, Network
from tests.simulation.ring2.server import Server

# 2030-01-01, and how long the machine has been up.
EPOCH_SECONDS = 1_893_456_000
UPTIME_SECONDS = 5_000.0


@contextmanager
def machine(
    loop: VirtualLoop, network: Network, seed: int, others: Sequence[tuple[Any, str, Any]] = ()
) -> Iterator[list[str]]:
    """Gives a list of what the programs log as faults of their own: each is one. `others` are replaced too: owner,
    name, what stands in."""

    def wall() -> float:
        process = CURRENT.get()
        return EPOCH_SECONDS + loop.now + (process.skew_seconds if process is not None else 0.0)

    def wall_nanos() -> int:
        return int(wall() * 1e6) * 1000

    def monotonic(*_: Any) -> float:
        return loop.now + UPTIME_SECONDS

    chance = random.Random(f"secrets {seed}")
    replaced: list[tuple[Any, str, Any]] = [
        (time, "time", wall),
        (time, "time_ns", wall_nanos),
        (time, "monotonic", monotonic),
        (time, "clock_gettime", monotonic),
        (secrets, "token_hex", lambda count=32: chance.randbytes(count).hex()),
        (secrets, "token_bytes", lambda count=32: chance.randbytes(count)),
        (secrets, "randbits", chance.getrandbits),
        (uuid, "uuid4", lambda: uuid.UUID(int=chance.getrandbits(128), version=4)),
        (gc, "collect", lambda *_: 0),
        (gc, "freeze", lambda: None),
        (grpc.aio, "secure_channel", lambda target, credentials, options: Channel(network, target, credentials)),
        (grpc.aio, "server", lambda **_: Server(network)),
        (grpc, "ssl_channel_credentials", lambda _authority, _key, certificate: Certificate(certificate)),
        (grpc, "ssl_server_credentials", lambda *_, **__: None),
        (sys, "unraisablehook", lambda _: None),
        (os, "getpid", lambda: 1000),
        (socket, "gethostname", lambda: process.host if (process := CURRENT.get()) is not None else "nobody"),
        *others,
    ]
    faults = _Faults()
    before = random.getstate()
    with ExitStack() as stack:
        for owner, name, stand_in in replaced:
            stack.enter_context(mock.patch.object(owner, name, stand_in))
        collecting, gc_was_on = faults.collecting(), gc.isenabled()
        stack.enter_context(collecting)
        gc.disable()  # what a collection frees may run code, at a moment nobody chose
        random.seed(seed)
        try:
            yield faults.found
        finally:
            random.setstate(before)
            if gc_was_on:
                gc.enable()


class _Faults(logging.Handler):
    """Hears what is logged with an exception."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None and record.levelno >= logging.ERROR:
            self.found.append(f"{record.getMessage()}: {record.exc_info[1]!r}")

    @contextmanager
    def collecting(self) -> Iterator[None]:
        root = logging.getLogger()
        level, handlers = root.level, root.handlers[:]
        root.handlers[:] = [self]
        root.setLevel(logging.ERROR)
        try:
            yield
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
