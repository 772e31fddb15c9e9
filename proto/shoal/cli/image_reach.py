"""What the commands of `shoal image` reach: the context's registry, with its certificate, and an engine."""

import asyncio
import importlib.util
import os
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from shoal import context, errors
from shoal.cli.failures import Failed
from shoal.cli.options import remember_context, target

if TYPE_CHECKING:
    from shoal.bridge.exchange import Exchange
    from shoal.registry import RegistryClient

Function = TypeVar("Function", bound=Callable[..., Any])
Result = TypeVar("Result")
DOCKER_HOST = "unix:///var/run/docker.sock"
_NEEDED = ("aiodocker", "isal")


@dataclass(frozen=True, slots=True)
class Reach:
    """`registry`: host:port."""

    registry: str
    context: context.Context

    def exchange(self) -> "Exchange":
        from shoal.bridge.exchange import Exchange

        return Exchange(self.registry, self._tls())

    def client(self) -> "RegistryClient":
        from shoal.registry import RegistryClient

        chosen = self.context
        return RegistryClient(self.registry, chosen.authority, chosen.certificate, chosen.key)

    def _tls(self) -> ssl.SSLContext:
        tls = ssl.create_default_context(cafile=str(self.context.authority))
        tls.load_cert_chain(self.context.certificate, self.context.key)
        return tls


def reach(registry: str | None) -> Reach:
    """`registry`: said instead of the context's. Raises NoContext."""
    chosen = context.load().choose(target().context)
    address = registry or chosen.registry
    if address is None:
        raise errors.NoContext(
            f"Context {chosen.name!r} names no image registry.", "shoal up, which starts one; or --registry HOST:PORT"
        )
    return Reach(address, replace(chosen, registry=address))


def _demand_libraries() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Failed(f"Not installed: {', '.join(missing)}.", "pip install 'shoal[images]'")


def run(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    return asyncio.run(work())


def registry_options(command: Function) -> Function:
    """For a command that speaks to a registry."""
    for name, text, options in (
        ("--registry", "Which registry to use.  [default: the context's]", {"metavar": "HOST:PORT"}),
        ("--context", "Which context to use.", {"metavar": "NAME", "callback": remember_context}),
    ):
        command = click.option(name, help=text, expose_value=name == "--registry", **options)(command)
    return command


def engine_option(command: Function) -> Function:
    return click.option("--docker-host", metavar="unix://PATH", help="The engine's socket.  [$DOCKER_HOST]")(command)


def engine_address(docker_host: str | None) -> str:
    """Raises Failed if this installation cannot speak to engines."""
    _demand_libraries()
    return docker_host or os.environ.get("DOCKER_HOST") or DOCKER_HOST
