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
from shoal.cli.session import woken_by_signals

if TYPE_CHECKING:
    from shoal.bridge.exchange import Exchange
    from shoal.registry import RegistryClient

Function = TypeVar("Function", bound=Callable[..., Any])
Result = TypeVar("Result")
DOCKER_HOST = "unix:///var/run/docker.sock"
_NEEDED = ("aiodocker", "isal")


@dataclass(frozen=True, slots=True)
class Reach:
    """`registry`: host:port. `tls`: verifies it, and has the operator's certificate."""

    registry: str
    context: context.Context
    tls: ssl.SSLContext

    def exchange(self) -> "Exchange":
        from shoal.bridge.exchange import Exchange

        return Exchange(self.registry, self.tls)

    def client(self) -> "RegistryClient":
        from shoal.registry import RegistryClient

        chosen = self.context
        return RegistryClient(self.registry, chosen.authority, chosen.certificate, chosen.key)


def reach(registry: str | None) -> Reach:
    """`registry`: said instead of the context's. Raises NoContext."""
    chosen = context.load().choose(target().context)
    address = registry or chosen.registry
    if address is None:
        raise errors.NoContext(
            f"Context {chosen.name!r} names no image registry.", "shoal up, which starts one; or --registry HOST:PORT"
        )
    return Reach(address, replace(chosen, registry=address), _tls(chosen))


def _tls(chosen: context.Context) -> ssl.SSLContext:
    """Raises NoContext, and OSError naming a file that cannot be read."""
    # Of those that it cannot read, the library does not say which.
    for path in (chosen.authority, chosen.certificate, chosen.key):
        path.read_bytes()
    try:
        tls = ssl.create_default_context(cafile=str(chosen.authority))
        tls.load_cert_chain(chosen.certificate, chosen.key)
    except ssl.SSLError as error:
        raise errors.NoContext(
            f"Context {chosen.name!r} has a certificate or a key that cannot be used: {error.reason or error}.",
            "shoal context show, which names the files",
        ) from None
    return tls


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
    address = docker_host or os.environ.get("DOCKER_HOST") or DOCKER_HOST
    if os.environ.get("DOCKER_TLS_VERIFY") and not address.startswith("unix://"):
        raise Failed(
            f"$DOCKER_TLS_VERIFY is set, but TLS is not spoken to engines: {address}.",
            "run this on the engine's host, or forward its socket: ssh -L /tmp/docker.sock:/var/run/docker.sock HOST",
        )
    return address
