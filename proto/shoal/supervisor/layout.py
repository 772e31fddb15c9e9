"""Where things lie in the state folder.

settings.json          what was chosen once and is kept
hosts.json             only of a cluster of several hosts on this machine: which they are
processes.json         which processes run, written by the supervisor
supervisor.lock        held by the supervisor while it lives; its content is the supervisor's pid
restore.incomplete     there while `restore` works, and after one that was killed
setup.lock             held while `up` writes settings and certificates
authority/             the authority's certificate and its key
certificates/          scheduler, etcd, registry, agent, ingress, operator: .crt and .key each; of several, also
                       scheduler-2 ...
registry/store/        what the image registry keeps, encrypted
registry-keys/         by which it is read, kept apart: a copy of the store alone tells nobody anything
agent.toml             optional: the agent's configuration, yours to write; of several hosts, what all have in common
ingress/               what is routed to services, once there is a target group: see shoal.ingress.folders
etcd/ scheduler/ registry/ agent/ dockerd/  each program's working folder; of several, also etcd-2/ scheduler-2/ ...
log/                   one file per program, the older half beside it as .1
"""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    root: Path

    @property
    def settings(self) -> Path:
        return self.root / "settings.json"

    @property
    def hosts(self) -> Path:
        return self.root / "hosts.json"

    @property
    def processes(self) -> Path:
        return self.root / "processes.json"

    @property
    def supervisor_lock(self) -> Path:
        return self.root / "supervisor.lock"

    @property
    def setup_lock(self) -> Path:
        return self.root / "setup.lock"

    @property
    def restoring(self) -> Path:
        return self.root / "restore.incomplete"

    @property
    def authority(self) -> Path:
        return self.root / "authority"

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    @property
    def registry_store(self) -> Path:
        return self.work("registry") / "store"

    @property
    def registry_keys(self) -> Path:
        return self.root / "registry-keys"

    @property
    def agent_config(self) -> Path:
        return self.root / "agent.toml"

    @property
    def ingress_wanted(self) -> Path:
        """Made by the scheduler that leads, once there is a target group."""
        return self.work("ingress") / "wanted"

    def work(self, program: str) -> Path:
        return self.root / program

    def log(self, program: str) -> Path:
        return self.root / "log" / f"{program}.log"


def default_root() -> Path:
    named = os.environ.get("SHOAL_HOME")
    return Path(named) if named else Path.home() / ".local" / "state" / "shoal"
