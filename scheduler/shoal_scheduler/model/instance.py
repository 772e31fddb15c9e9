"""A container instance: a host that runs our agent."""

import msgspec

from shoal_scheduler.model.interruption import Interruption

# Expressions know an instance by its id under this name: hostnames may be alike. Nobody else can set it.
ID_ATTRIBUTE = "shoal.instance"


class Health(msgspec.Struct, frozen=True):
    """Of an instance's container engine, as its agent says: OK, or IMPAIRED for a `reason`; `since` in milliseconds."""

    status: str = "OK"
    reason: str = ""
    since: int = 0

    @property
    def is_impaired(self) -> bool:
        return self.status == "IMPAIRED"


class Instance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str
    cluster: str
    registered_at: int
    hostname: str = ""

    # ACTIVE, DRAINING (no new tasks) or INACTIVE (deregistered).
    status: str = "ACTIVE"

    # Rises with every start of the agent; a session with an older one is a clone or a ghost.
    incarnation: int = 0
    version: int = 1
    cpu: int = 0
    memory_mib: int = 0
    gpu_ids: tuple[str, ...] = ()

    # Resources of the cluster's own, such as licences: how many it offers of each.
    custom: dict[str, int] = {}

    # A process beside its agent ends what is "exclusive" when the agent cannot.
    watchdog: bool = False

    # Ports no task may ask for, such as ssh's.
    reserved_tcp: tuple[int, ...] = ()
    reserved_udp: tuple[int, ...] = ()
    agent_version: str = ""
    docker_version: str = ""

    # What the agent found or was configured with, and what the API has put on top.
    agent_attributes: dict[str, str] = {}
    custom_attributes: dict[str, str] = {}
    tags: dict[str, str] = {}

    # The agent's identity is no longer trusted since then, in milliseconds; 0 is never.
    revoked_at: int = 0
    revoked_by: str = ""

    # Agents with a copy of its key that were seen beside it: which runs of the program, when and where the last one.
    copies: tuple[str, ...] = ()
    copy_seen_at: int = 0
    copy_host: str = ""

    # It goes; None as long as nobody says so.
    interruption: Interruption | None = None

    @property
    def attributes(self) -> dict[str, str]:
        return self.agent_attributes | self.custom_attributes

    def attribute(self, name: str) -> str | None:
        """As an expression sees it."""
        if name == ID_ATTRIBUTE:
            return self.id
        return self.custom_attributes.get(name, self.agent_attributes.get(name))
