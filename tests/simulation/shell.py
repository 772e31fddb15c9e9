"""Puts the virtual clock and the shell's coroutines under the programs, for as long as a run lasts."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest.mock import patch

from shoal_agent import commands as agent_commands
from shoal_agent import interruption, lease, pause, reporter, session, slots, watch, worker
from shoal_agent.life import case, last_moment, runner, steps
from shoal_scheduler import dispatch, engine
from shoal_scheduler.api import agent_session
from shoal_scheduler.state import etcd

from tests.simulation.clock import Clock
from tests.simulation.coroutines import SHELL, Event
from tests.simulation.lives import Life

# Milliseconds of the wall clock at the beginning of every run.
EPOCH_SECONDS = 1_700_000_000.0

ASYNC = (
    pause,
    reporter,
    session,
    slots,
    watch,
    worker,
    agent_commands,
    case,
    last_moment,
    runner,
    steps,
    dispatch,
    engine,
    agent_session,
    etcd,
)
TIMED = (session, watch, case, engine, interruption)


@contextmanager
def installed(clock: Clock) -> Iterator[None]:
    """No real time, no real loop, no log."""

    def wall() -> float:
        return EPOCH_SECONDS + clock.now + (Life.current.skew() if Life.current is not None else 0.0)

    virtual = SimpleNamespace(monotonic=lambda: clock.now, time=wall, time_ns=lambda: round(wall() * 1e6) * 1000)
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    with ExitStack() as stack:
        for module in ASYNC:
            stack.enter_context(patch.object(module, "asyncio", SHELL))
        stack.enter_context(patch.object(lease, "Event", Event))
        for module in TIMED:
            stack.enter_context(patch.object(module, "time", virtual))
        try:
            yield
        finally:
            logging.disable(before)
