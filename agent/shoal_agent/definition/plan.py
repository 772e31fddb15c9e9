"""How the containers of a task live beside each other: read from its definition, and as text for labels and journal.

The text tells an agent that lost everything else which container is essential and which has to end before which:
a JSON list with one object for each container, in the order of the definition, without what is as usual.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shoal_agent.definition.sandbox import PAUSE, shared
from shoal_agent.task import START, ContainerPlan, Dependency, RestartPolicy

Document = Mapping[str, Any]

RESTART_ATTEMPT_PERIOD_SECONDS = 300


def plans(definition: Document) -> tuple[ContainerPlan, ...]:
    """The containers of a task definition, in order, after the one that holds what they share, if they share
    anything. `essential` is true unless it says false."""
    own = tuple(_plan(container) for container in definition.get("containerDefinitions", ()))
    return (_SANDBOX, *own) if shared(definition) else own


_SANDBOX = ContainerPlan(PAUSE, essential=False, internal=True)


def _plan(container: Document) -> ContainerPlan:
    return ContainerPlan(
        name=container["name"],
        essential=container.get("essential", True) is not False,
        depends_on=_dependencies(container),
        has_health_check=bool(container.get("healthCheck")),
        start_timeout_seconds=container.get("startTimeout") or None,
        restart=_restart(container.get("restartPolicy") or {}),
    )


def _dependencies(container: Document) -> tuple[Dependency, ...]:
    """What is said, and what links and volumes of others imply: the engine wants them to be there."""
    said = [Dependency(it["containerName"], it["condition"]) for it in container.get("dependsOn", ())]
    links = [link.partition(":")[0] for link in container.get("links", ())]
    sources = [entry["sourceContainer"] for entry in container.get("volumesFrom", ())]
    known = {dependency.container for dependency in said}
    implied = [name for name in dict.fromkeys([*links, *sources]) if name not in known]
    return (*said, *(Dependency(name, START) for name in implied))


def _restart(policy: Document) -> RestartPolicy | None:
    if not policy.get("enabled"):
        return None
    period = policy.get("restartAttemptPeriod") or RESTART_ATTEMPT_PERIOD_SECONDS
    return RestartPolicy(tuple(policy.get("ignoredExitCodes", ())), period)


def listed(containers: Sequence[ContainerPlan]) -> str:
    return json.dumps([_entry(plan) for plan in containers], separators=(",", ":"))


def _entry(plan: ContainerPlan) -> Document:
    restart = plan.restart
    entry = {
        "name": plan.name,
        "essential": plan.essential,
        "dependsOn": [[it.container, it.condition] for it in plan.depends_on],
        "healthCheck": plan.has_health_check,
        "startTimeout": plan.start_timeout_seconds,
        "restart": [restart.attempt_period_seconds, *restart.ignored_exit_codes] if restart else None,
        "internal": plan.internal,
    }
    return {key: value for key, value in entry.items() if value}


def parse_listed(text: str) -> tuple[ContainerPlan, ...]:
    """() for a text that is not one of ours."""
    try:
        return tuple(_parsed(entry) for entry in json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()


def _parsed(entry: Document) -> ContainerPlan:
    restart = entry.get("restart")
    return ContainerPlan(
        name=str(entry["name"]),
        essential=bool(entry.get("essential")),
        depends_on=tuple(Dependency(str(name), str(condition)) for name, condition in entry.get("dependsOn", ())),
        has_health_check=bool(entry.get("healthCheck")),
        start_timeout_seconds=int(entry["startTimeout"]) if "startTimeout" in entry else None,
        restart=RestartPolicy(tuple(map(int, restart[1:])), int(restart[0])) if restart else None,
        internal=bool(entry.get("internal")),
    )
