"""How the commands of `shoal image` run, and which engine they speak to."""

import asyncio
import importlib.util
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from shoal.cli.failures import Failed
from shoal.cli.options import Function, remember_context
from shoal.cli.registry_reach import registry_option
from shoal.cli.session import woken_by_signals

Result = TypeVar("Result")
DOCKER_HOST = "unix:///var/run/docker.sock"
_NEEDED = ("aiodocker", "isal")


def _demand_libraries() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Failed(f"Not installed: {', '.join(missing)}.", "pip install 'shoal[images]'")


def run(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    async def woken() -> Result:
        with woken_by_signals():
            return await work()

    return asyncio.run(woken())


def registry_options(command: Function) -> Function:
    """For a command that speaks to a registry only."""
    context = click.option(
        "--context", metavar="NAME", callback=remember_context, expose_value=False, help="Which context to use."
    )
    return registry_option(context(command))


def engine_option(command: Function) -> Function:
    return click.option("--docker-host", metavar="unix://PATH", help="The engine's socket.  [$DOCKER_HOST]")(command)


def engine_address(docker_host: str | None) -> str:
    """Raises Failed if this installation cannot speak to engines."""
    _demand_libraries()
    address = docker_host or os.environ.get("DOCKER_HOST") or DOCKER_HOST
    if os.environ.get("DOCKER_TLS_VERIFY") and not address.startswith("unix://"):
        raise Failed(
            f"$DOCKER_TLS_VERIFY is set, but TLS is not spoken to engines: {address}.",
            "run this on the engine's host, or forward its socket: ssh -L /tmp/docker.sock:/var/run/docker.sock HOST",
        )
    return address
