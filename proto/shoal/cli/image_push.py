from typing import TYPE_CHECKING

import click

from shoal.cli import show, text
from shoal.cli.image_progress import bars
from shoal.cli.image_reach import engine_address, engine_option, registry_options, run
from shoal.cli.options import output_option
from shoal.cli.registry_reach import reach

if TYPE_CHECKING:
    from shoal.bridge.push import Pushed


@click.command()
@click.argument("local")
@click.argument("name", required=False)
@engine_option
@registry_options
@output_option
def push(local: str, name: str | None, docker_host: str | None, registry: str | None, output: str) -> None:
    """Push an image of this machine's engine to the registry.

    The engine needs no configuration: it hands the image over, and this program sends it. LOCAL is an image as the
    engine calls it, or its id; NAME is REPOSITORY[:TAG] in the registry, by default as the engine calls it, without a
    host.

    \b
    shoal image push web                     becomes web:latest
    shoal image push web team/web:v1

    Prints what a task definition calls the image, by its digest.
    """
    reached, address = reach(registry), engine_address(docker_host)

    async def work() -> "Pushed":
        from shoal import errors
        from shoal.bridge import known, names
        from shoal.bridge.engine import Engine
        from shoal.bridge.push import push as carry
        from shoal.bridge.transfer import Repository

        names.check_local(local)
        named = names.parse(name or names.proposed(local), reached.registry)
        if named.digest:
            raise errors.InvalidInput(
                f"{name!r} is a digest: what an image's digest is shows when it was pushed.", "give it a tag"
            )
        with bars(quiet=output != "table") as told:
            async with Engine(address) as engine, reached.exchange() as exchange:
                layers = known.KnownLayers(known.default_folder())
                return await carry(engine, Repository(exchange, named.repository), local, named, layers, told)

    pushed = run(work)
    if output in ("json", "yaml"):
        show.print_document(output, _document(pushed, reached.registry))
        return
    click.echo(f"{pushed.name} is pushed: {text.size(pushed.sent)} of {text.size(pushed.size)} sent.", err=True)
    click.echo(pushed.digest if output == "name" else f"{reached.registry}/{pushed.name.repository}@{pushed.digest}")


def _document(pushed: "Pushed", registry: str) -> dict[str, object]:
    return {
        "image": {
            "repositoryName": pushed.name.repository,
            "imageId": {"imageDigest": pushed.digest, "imageTag": pushed.name.tag},
            "imageManifestMediaType": pushed.media_type,
        },
        "imageUri": f"{registry}/{pushed.name.repository}@{pushed.digest}",
        "imageSizeInBytes": pushed.size,
        "sentBytes": pushed.sent,
    }
