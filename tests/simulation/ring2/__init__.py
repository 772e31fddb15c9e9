"""Whole clusters of the real coroutines in virtual time: `run` plays one seed."""

from tests.simulation.ring2.story import run

__all__ = ["run"]
