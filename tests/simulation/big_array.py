"""A story of its own: one array of many children, of which five in a hundred attempts fail. The leader is killed every
ten seconds, an agent every fifteen; nothing else goes wrong.

python -m tests.simulation --array 10000 --seeds 1..3
"""

from typing import TYPE_CHECKING

from shoal_scheduler.model.job_queue import ComputeEnvironment, JobQueue

from tests.simulation.plan import JOBS, Plan

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

LEADER_KILLED_SECONDS = 10.0
AGENT_KILLED_SECONDS = 15.0
AWAY_SECONDS = 1.0
ATTEMPTS = 3
BEGIN_SECONDS = 3.0

# Of faults: about as long as the array takes.
CHILDREN_PER_SECOND = 11


def planned(seed: int, children: int) -> Plan:
    seconds = 10.0 + children / CHILDREN_PER_SECOND
    return Plan(seed, schedulers=3, hosts=10, tasks=0, seconds=seconds, kinds=(JOBS,), strength=0.0, array=children)


def schedule(cluster: "Cluster") -> None:
    users, clock = cluster.jobs, cluster.clock
    environment = ComputeEnvironment(name="hosts", created_at=0)
    users.define(environment, [JobQueue(name="array", created_at=0, environments=("hosts",))])
    document = {
        "jobName": "many",
        "jobQueue": "array",
        "jobDefinition": "long",
        "retryStrategy": {"attempts": ATTEMPTS},
        "arrayProperties": {"size": cluster.plan.array},
    }
    clock.after(BEGIN_SECONDS, users.ask, document, "the array")
    _kill_leader(cluster)
    _kill_agent(cluster, 0)


def _kill_leader(cluster: "Cluster") -> None:
    def happen() -> None:
        leader = next((each for each in cluster.schedulers if each.leads), None)
        if leader is not None:
            cluster.crash_scheduler(leader, AWAY_SECONDS)
        _kill_leader(cluster)

    cluster.later(LEADER_KILLED_SECONDS, happen)


def _kill_agent(cluster: "Cluster", number: int) -> None:
    def happen() -> None:
        cluster.crash_agent(cluster.hosts[number % len(cluster.hosts)], AWAY_SECONDS)
        _kill_agent(cluster, number + 1)

    cluster.later(AGENT_KILLED_SECONDS, happen)
