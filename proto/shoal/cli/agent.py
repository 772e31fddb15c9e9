"""`shoal agent`: makes this machine a host of a cluster elsewhere, and runs its agent.

<state>/identity/     the host's key and certificates; see shoal.joining.identity
<state>/work          the agent's own: its journal, logs of containers
<state>/agent.toml    optional: what this host gives to tasks
"""

import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import click

from shoal.cli.failures import FAILED, USAGE, Failed
from shoal.cli.instances import revoke_instance
from shoal.cli.options import duration
from shoal.joining.identity import IdentityFolder, Member
from shoal.supervisor import settings
from shoal.supervisor.programs import PYTHON

DEFAULT_STATE = "/var/lib/shoal-agent"

state_option = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SHOAL_AGENT_STATE",
    default=DEFAULT_STATE,
    show_default=True,
    metavar="DIR",
    help="What this host is, and remembers.  [env: SHOAL_AGENT_STATE]",
)


@dataclass(frozen=True, slots=True)
class AgentState:
    root: Path

    @property
    def identity(self) -> IdentityFolder:
        return IdentityFolder(self.root / "identity")

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def configuration(self) -> Path:
        return self.root / "agent.toml"

    def member(self) -> Member | None:
        try:
            return self.identity.member()
        except ValueError as error:
            raise Failed(str(error), f"Remove {self.identity.root} and join anew.", FAILED) from None


@click.group()
def agent() -> None:
    """Join this machine to a cluster, and run its agent."""


@agent.command()
@click.argument("schedulers", metavar="SCHEDULER[,SCHEDULER...]")
@click.option("--token", "words", metavar="TOKEN", envvar="SHOAL_JOIN_TOKEN", help="[env: SHOAL_JOIN_TOKEN]")
@click.option("--token-file", type=click.File("r"), metavar="FILE", help="Read the token from there; - is the input.")
@click.option(
    "--timeout",
    type=duration,
    default="60s",
    show_default=True,
    help="How long to try while no scheduler can answer.",
)
@state_option
def join(schedulers: str, words: str | None, token_file: IO[str] | None, timeout: float, state: Path) -> None:
    """Make this machine a host of the cluster whose SCHEDULER (HOST:PORT of its HTTPS) is named.

    The host's key is made here and stays here. The token is told only to who proves to be the cluster that gave it.
    A host that is a member already stays what it is, so this may be repeated. Then: shoal agent run
    """
    from shoal.joining.enter import join as enter
    from shoal.joining.token import Token

    said = token_file.read() if token_file is not None else words
    if said is None or (token_file is not None and words is not None):
        raise Failed("Give the token by one of --token and --token-file.", "shoal agent join --help", USAGE)
    try:
        token = Token.parse(said)
        for each in schedulers.split(","):
            settings.split_address(each)
    except ValueError as error:
        raise Failed(str(error), "shoal agent join --help", USAGE) from None
    was = AgentState(state).member()
    member = enter(schedulers.split(","), token, AgentState(state).identity, timeout)
    click.echo(member.instance)
    became = "is already" if was else "is now"
    click.echo(f"{socket.gethostname()} {became} instance {member.instance} of cluster {member.cluster}.", err=True)


@agent.command()
@state_option
@click.option("--docker-host", metavar="unix://PATH", envvar="DOCKER_HOST", help="The engine's socket.")
@click.option("--config", type=click.Path(path_type=Path), help="What this host gives to tasks.  [STATE/agent.toml]")
def run(state: Path, docker_host: str | None, config: Path | None) -> None:
    """Run the agent of this host, which has joined, until it is told to end; containers run on then.

    The process becomes the agent itself, so that systemd watches over it and nothing else.
    """
    kept = AgentState(state)
    member = kept.member()
    if member is None:
        raise Failed(f"This host has not joined: {kept.identity.certificate} is not there.", "shoal agent join --help")
    kept.work.mkdir(mode=0o700, exist_ok=True)
    arguments = [*PYTHON, "shoal_agent", *_arguments(kept, member)]
    if docker_host:
        arguments += ["--docker-host", docker_host]
    if config is None and kept.configuration.exists():
        config = kept.configuration
    if config is not None:
        arguments += ["--config", str(config)]
    sys.stdout.flush()
    os.execv(arguments[0], arguments)


def _arguments(kept: AgentState, member: Member) -> Sequence[str]:
    files = kept.identity
    return (
        *("--scheduler", ",".join(member.schedulers), "--renew-at", ",".join(member.https)),
        *("--state", str(kept.work), "--authority", str(files.authority)),
        *("--certificate", str(files.certificate), "--key", str(files.key)),
    )


agent.add_command(revoke_instance, "revoke")
