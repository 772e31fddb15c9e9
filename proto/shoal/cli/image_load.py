import platform
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shoal.cli import show, text
from shoal.cli.image_progress import bars
from shoal.cli.image_reach import engine_address, engine_option, registry_options, run
from shoal.cli.options import output_option
from shoal.cli.registry_reach import reach

if TYPE_CHECKING:
    from shoal.bridge.load import Loaded
    from shoal.bridge.load_file import LoadedFile
    from shoal.bridge.manifest import Platform

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "i686": "386"}


@click.command()
@click.argument("name", required=False)
@click.argument("local", required=False)
@click.option("--input", "archive", type=click.Path(path_type=Path), metavar="FILE", help="Load this file instead.")
@click.option("--platform", "wanted", metavar="OS/ARCH", help="Of several.  [default: the engine's]")
@engine_option
@registry_options
@output_option
def load(
    name: str | None,
    local: str | None,
    archive: Path | None,
    wanted: str | None,
    docker_host: str | None,
    registry: str | None,
    output: str,
) -> None:
    """Load an image of the registry, or of a file, into this machine's engine.

    NAME is REPOSITORY[:TAG] or REPOSITORY@DIGEST in the registry; LOCAL is what the engine shall call it, by default
    REPOSITORY:TAG. Each byte is verified by its digest before the engine takes the image in.

    \b
    shoal image load team/web:v1
    shoal image load team/web@sha256:… web:known
    shoal image load --input web.tar         what `shoal image save` or `docker save` wrote
    """
    if archive is not None:
        if local is not None:
            raise click.UsageError("With --input there is one name at most: what the engine shall call it.")
        _load_file(archive, name, wanted, engine_address(docker_host), output)
        return
    if name is None:
        raise click.UsageError("Give the NAME of an image in the registry, or --input FILE.")
    reached, address = reach(registry), engine_address(docker_host)

    async def work() -> "Loaded":
        from shoal.bridge import names
        from shoal.bridge.engine import Engine
        from shoal.bridge.load import load as carry
        from shoal.bridge.transfer import Repository

        named = names.parse(name, reached.registry)
        called = ":".join(names.on_engine(local)) if local else None if named.digest else str(named)
        with bars(quiet=output != "table") as told:
            async with Engine(address) as engine, reached.exchange() as exchange:
                repository = Repository(exchange, named.repository)
                return await carry(engine, repository, named, called, _platform(wanted), told)

    loaded = run(work)
    if output in ("json", "yaml"):
        show.print_document(output, _document(loaded))
        return
    if loaded.was_there:
        click.echo("The engine had it already.", err=True)
    click.echo(loaded.local or loaded.identity)


def _load_file(archive: Path, local: str | None, wanted: str | None, address: str, output: str) -> None:
    async def work() -> "LoadedFile":
        from shoal.bridge import names
        from shoal.bridge.engine import Engine
        from shoal.bridge.load_file import load_file as carry

        called = ":".join(names.on_engine(local)) if local else None
        with bars(quiet=output != "table") as told:
            async with Engine(address) as engine:
                return await carry(engine, archive, called, _platform(wanted), told)

    loaded = run(work)
    if output in ("json", "yaml"):
        show.print_document(output, {"local": {"id": loaded.identity, "names": list(loaded.names)}})
        return
    if loaded.was_there:
        click.echo("The engine had it already.", err=True)
    for each in loaded.names or (loaded.identity,):
        click.echo(each)


@click.command()
@click.argument("name")
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--platform", "wanted", metavar="OS/ARCH", help="Of several.  [default: this machine's]")
@registry_options
@output_option
def save(name: str, target: Path, wanted: str | None, registry: str | None, output: str) -> None:
    """Save an image of the registry to a file; - is standard output.

    The file is a tar that holds an OCI image layout, and Docker's manifest.json beside it. Where the registry cannot be
    reached, `docker load`, `podman load`, `skopeo copy oci-archive:FILE …` and `shoal image load --input FILE` take it.
    """
    reached = reach(registry)
    to_stdout = str(target) == "-"

    async def work() -> "Loaded":
        from shoal.bridge import names
        from shoal.bridge.load import save as carry
        from shoal.bridge.manifest import Platform
        from shoal.bridge.transfer import Repository

        named = names.parse(name, reached.registry)
        called = None if named.digest else str(named)
        machine = platform.machine()
        usual = Platform("linux", *_MACHINES.get(machine, machine).split("/"))
        with bars(quiet=output != "table") as told:
            async with reached.exchange() as exchange:
                repository = Repository(exchange, named.repository)
                to = None if to_stdout else target
                return await carry(repository, named, called, _platform(wanted), usual, to, told)

    saved = run(work)
    if to_stdout:
        return
    if output in ("json", "yaml"):
        show.print_document(output, _document(saved))
        return
    click.echo(f"{saved.name} is in {target}: {text.size(saved.size)}.", err=True)
    click.echo(saved.digest)


def _platform(wanted: str | None) -> "Platform | None":
    from shoal.bridge.manifest import Platform

    return Platform.parse(wanted) if wanted else None


def _document(loaded: "Loaded") -> dict[str, object]:
    return {
        "image": {
            "repositoryName": loaded.name.repository,
            "imageId": {"imageDigest": loaded.digest, **({"imageTag": loaded.name.tag} if loaded.name.tag else {})},
            "imageManifestMediaType": loaded.media_type,
        },
        "imageSizeInBytes": loaded.size,
        **({"local": {"id": loaded.identity, "name": loaded.local}} if loaded.identity else {}),
    }
