"""`shoal host`: the hosts that `shoal up --hosts` runs on this machine, and what can happen to hosts."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from shoal.cli import engine_http, show, text
from shoal.cli.failures import NOT_FOUND, USAGE, Failed
from shoal.cli.options import duration
from shoal.hosts import network, plan, power, processes, programs
from shoal.hosts.plan import Fleet, Host
from shoal.supervisor import settings
from shoal.supervisor.layout import Layout, default_root

names_argument = click.argument("names", metavar="NAME...", nargs=-1, required=True)


@click.group(invoke_without_command=True)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="State folder of `shoal up`.  [default: $SHOAL_HOME or ~/.local/state/shoal]",
)
@click.pass_context
def host(ctx: click.Context, state: Path | None) -> None:
    """List the hosts of `shoal up --hosts`, load images into them, and try what happens to hosts."""
    layout = Layout((state or default_root()).expanduser().resolve())
    ctx.obj = (layout, _fleet(layout))
    if ctx.invoked_subcommand is None:
        _list(layout, _fleet(layout))


def _fleet(layout: Layout) -> Fleet:
    found = plan.load(layout.hosts)
    if found is None:
        raise Failed(f"The cluster in {layout.root} has no hosts of its own.", "shoal up --hosts 3", NOT_FOUND)
    if os.geteuid() != 0:
        raise Failed("Hosts on this machine are root's.", "sudo")
    return found


def _list(layout: Layout, fleet: Fleet) -> None:
    rows = [(each.name, str(each.address.ip), _state(each), programs.docker_host(layout, each)) for each in fleet.hosts]
    show.print_table(show.Table(("HOST", "ADDRESS", "STATE", "ENGINE"), rows))


def _state(each: Host) -> str:
    if not network.is_attached(each):
        return "off"
    way = network.cut_of(each)
    return "on" if way is None else f"cut off ({way})"


@host.command()
@click.argument("images", metavar="IMAGE...", nargs=-1)
@click.option(
    "--from",
    "source",
    metavar="unix://PATH",
    help="The engine that has them.  [default: $DOCKER_HOST or unix:///var/run/docker.sock]",
)
@click.option("--input", "archive", type=click.Path(path_type=Path, exists=True), help="A file of `docker save`.")
@click.pass_obj
def load(obj: tuple[Layout, Fleet], images: tuple[str, ...], source: str | None, archive: Path | None) -> None:
    """Load images into every host: from this machine's engine, or from a file of `docker save`."""
    layout, fleet = obj
    if bool(images) == bool(archive):
        raise click.UsageError("Name images, or give --input FILE.")
    targets = [each for each in fleet.hosts if network.is_attached(each)]
    try:
        if archive is not None:
            _load(layout, targets, archive)
        else:
            with tempfile.NamedTemporaryFile() as saved:
                engine_http.save_images(source or _docker_host(), images, Path(saved.name))
                _load(layout, targets, Path(saved.name))
    except engine_http.EngineError as error:
        what = ", ".join(images) or str(archive)
        raise Failed(f"{what} cannot be loaded: {error}.", "docker images shows what an engine has") from None
    click.echo(f"Loaded into {text.sentence_list((each.name for each in targets), len(targets))}.")


def _docker_host() -> str:
    named = os.environ.get("DOCKER_HOST", "")
    return named if named.startswith("unix://") else settings.DOCKER_HOST


def _load(layout: Layout, targets: Sequence[Host], archive: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: engine_http.load_images(programs.docker_host(layout, each), archive), targets))


@host.command()
@names_argument
@click.pass_obj
def kill(obj: tuple[Layout, Fleet], names: tuple[str, ...]) -> None:
    """Pull the plug: engine, agent and containers are gone at once."""
    _each(obj, names, power.kill, "killed")


@host.command()
@names_argument
@click.pass_obj
def stop(obj: tuple[Layout, Fleet], names: tuple[str, ...]) -> None:
    """Shut down: containers are asked to end first."""
    _each(obj, names, power.stop, "stopped")


@host.command()
@names_argument
@click.pass_obj
def start(obj: tuple[Layout, Fleet], names: tuple[str, ...]) -> None:
    """Switch on again, with the disk as it was."""
    _each(obj, names, lambda layout, each: power.restart(obj[1], layout, each), "started")


@host.command()
@names_argument
@click.option("--for", "seconds", type=duration, metavar="DURATION", help="Heal it after so long, as 30s.")
@click.option(
    "--way",
    type=click.Choice(tuple(network.WAYS)),
    default="both",
    show_default=True,
    help="in: it hears nothing. out: nobody hears it. reset: its connections are refused.",
)
@click.pass_obj
def cut(obj: tuple[Layout, Fleet], names: tuple[str, ...], seconds: float | None, way: str) -> None:
    """Cut the network: the host runs on and reaches nobody."""
    _each(obj, names, lambda _, each: network.cut(each, way), "cut off")
    if seconds is None:
        return
    try:
        time.sleep(seconds)
    finally:
        _each(obj, names, lambda _, each: network.heal(each), "healed")


@host.command()
@names_argument
@click.pass_obj
def heal(obj: tuple[Layout, Fleet], names: tuple[str, ...]) -> None:
    """End a cut."""
    _each(obj, names, lambda _, each: network.heal(each), "healed")


def _each(obj: tuple[Layout, Fleet], names: Sequence[str], work: Callable[[Layout, Host], None], done: str) -> None:
    layout, fleet = obj
    found = [(name, fleet.host(name)) for name in names]
    missing = [name for name, each in found if each is None]
    if missing:
        known = text.sentence_list((each.name for each in fleet.hosts), len(fleet.hosts))
        raise Failed(f"There is no host {missing[0]!r}: {known}.", "shoal host", NOT_FOUND)
    for each in (each for _, each in found if each is not None):
        if done in ("cut off", "healed") and processes.namespace_number(each) is None:
            raise Failed(f"{each.name} is switched off.", f"shoal host start {each.name}", USAGE)
        try:
            work(layout, each)
        except (network.NetworkError, TimeoutError) as error:
            raise Failed(f"{each.name}: {error}.") from None
        click.echo(f"{each.name} {done}")
