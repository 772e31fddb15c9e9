"""Which image registry a command speaks to, as whom, and what its users call its repositories."""

import ssl
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from shoal import context, engine_trust, errors
from shoal.cli.options import Function, target

if TYPE_CHECKING:
    from shoal.bridge.exchange import Exchange
    from shoal.registry import RegistryClient


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

    def repository(self, name: str) -> str:
        """Its name, whether it is called by that or by its URI. Raises InvalidInput."""
        from shoal.bridge import names

        return names.parse_repository(name, self.registry)


def reach(registry: str | None) -> Reach:
    """`registry`: said instead of the context's. Raises NoContext, and OSError naming a file that cannot be read."""
    chosen = context.load().choose(target().context)
    address = registry or chosen.registry
    if address is None:
        raise errors.NoContext(
            f"Context {chosen.name!r} names no image registry.", "shoal up, which starts one; or --registry HOST:PORT"
        )
    return Reach(address, replace(chosen, registry=address), _tls(chosen))


def registry_option(command: Function) -> Function:
    return click.option(
        "--registry",
        callback=_address,
        metavar="HOST:PORT",
        help="Which registry to use.  [default: the context's]",
    )(command)


def _address(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is not None and not engine_trust.is_address(value):
        raise click.BadParameter(f"{value!r} is no HOST:PORT, as in registry.example:7680", ctx, option)
    return value


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
