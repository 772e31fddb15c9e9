"""`shoal certificate`: certificates for the programs and people of a cluster that `shoal up` does not run.

Needs the authority's key, so it is for the machine where that lies. Hosts need none of it: they join.
"""

from datetime import UTC, datetime
from pathlib import Path

import click

from shoal.cli.failures import FAILED, Failed

ROLES = ("scheduler", "etcd", "registry", "ingress", "operator", "monitor")


@click.group()
def certificate() -> None:
    """Issue certificates of the cluster's own authority."""


@certificate.command()
@click.argument("role", type=click.Choice(ROLES))
@click.argument("name")
@click.option(
    "--authority",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Where authority.crt and authority.key lie; they are made if they are not there.",
)
@click.option("--cluster", default="default", show_default=True, metavar="NAME", help="Of which cluster.")
@click.option(
    "--to", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="DIR", help="Where to put it."
)
@click.option("--address", "addresses", multiple=True, metavar="HOST", help="By which else a server is called.")
def issue(role: str, name: str, authority: Path, cluster: str, to: Path, addresses: tuple[str, ...]) -> None:
    """Write NAME's certificate and key for ROLE as DIR/ROLE.crt and DIR/ROLE.key; one that is good stays.

    It is good for a year. Run this again to renew it, and restart the program it is for.
    """
    from shoal.certificates import ensure_authority, ensure_certificate
    from shoal.rpc import Identity
    from shoal.whole_file import write_whole

    now = datetime.now(UTC)
    try:
        ours = ensure_authority(authority, cluster, now)
        issued = ensure_certificate(ours, to, role, Identity(cluster, role, name), now, addresses)
        if to != authority:
            write_whole(to / "authority.crt", ours.path.read_bytes())
    except (OSError, ValueError) as error:
        raise Failed(f"Not issued: {error}", "shoal certificate issue --help", FAILED) from None
    click.echo(issued.certificate)
