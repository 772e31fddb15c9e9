"""Where jobs wait, what they may run on, and how much of it the cluster's operators gave away."""

import msgspec

ENABLED, DISABLED = "ENABLED", "DISABLED"

# How many later starts of its queue and priority may overtake a job that waits for room.
OVERTAKING_MAX = 100


class TimeLimit(msgspec.Struct, frozen=True, array_like=True):
    """jobStateTimeLimitActions: what becomes of the first job of the queue when it is RUNNABLE for too long."""

    reason: str
    max_seconds: int
    state: str = "RUNNABLE"
    action: str = "CANCEL"


class JobQueue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    created_at: int

    # Of queues that share a compute environment, the higher is served first.
    priority: int = 0
    state: str = ENABLED

    # Names of compute environments, tried in this order.
    environments: tuple[str, ...] = ()
    time_limits: tuple[TimeLimit, ...] = ()

    # Tasks of the queue's jobs at a time; 0: no bound. Ours.
    max_concurrent: int = 0

    # See OVERTAKING_MAX. Ours.
    overtaking_max: int = OVERTAKING_MAX
    tags: dict[str, str] = {}


class ComputeEnvironment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """UNMANAGED: instances of a cluster, chosen by an expression in the cluster query language."""

    name: str
    created_at: int
    cluster: str = "default"

    # "" chooses all.
    expression: str = ""
    state: str = ENABLED

    # vCPUs that its jobs hold at most; 0: no bound. As in Batch, a job may go over it by less than an instance: it is
    # looked at before a job starts.
    max_vcpus: int = 0
    tags: dict[str, str] = {}


REPLENISHABLE, NON_REPLENISHABLE = "REPLENISHABLE", "NON_REPLENISHABLE"


class ConsumableResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something jobs take for as long as they run (REPLENISHABLE) or use up: licences, slots of a database."""

    name: str
    created_at: int
    type: str = REPLENISHABLE
    total: int = 0

    # NON_REPLENISHABLE: how many were taken, and do not come back.
    used: int = 0
    tags: dict[str, str] = {}

    # The last changes that came with a client token: that, what was asked for, and the total after it. The same again
    # changes nothing.
    changed: tuple[tuple[str, str, int], ...] = ()
