"""The rules an instance must pass, in the order in which they are asked.

Each filter answers None (passes) or the reason in ECS's words; the first reason of an instance is the one that
counts. `reasons` of an ask that fits nowhere is the tally over all instances.
"""

from collections.abc import Callable

from shoal_scheduler.model.ask import Ask
from shoal_scheduler.model.candidate import Candidate
from shoal_scheduler.placement.expression import facts_of, parse

Filter = Callable[[Ask, Candidate], str | None]


def agent(_ask: Ask, candidate: Candidate) -> str | None:
    if candidate.instance.status != "ACTIVE":
        return "INSTANCE:DRAINING"
    return None if candidate.connected else "AGENT"


def attribute(ask: Ask, candidate: Candidate) -> str | None:
    attributes = candidate.instance.attributes
    for name, value in ask.required_attributes:
        if attributes.get(name) != value:
            return "ATTRIBUTE"
    return None


def member_of(ask: Ask, candidate: Candidate) -> str | None:
    if not ask.expressions:
        return None
    facts = facts_of(candidate)
    return None if all(parse(expression).test(facts) for expression in ask.expressions) else "MEMBEROF"


def distinct_instance(ask: Ask, candidate: Candidate) -> str | None:
    if ask.distinct_instance and ask.group in candidate.used.groups:
        return "DISTINCT_INSTANCE"
    return None


def cpu(ask: Ask, candidate: Candidate) -> str | None:
    return "RESOURCE:CPU" if ask.resources.cpu > candidate.free_cpu else None


def memory(ask: Ask, candidate: Candidate) -> str | None:
    return "RESOURCE:MEMORY" if ask.resources.memory_mib > candidate.free_memory_mib else None


def gpu(ask: Ask, candidate: Candidate) -> str | None:
    return "RESOURCE:GPU" if ask.resources.gpus > candidate.free_gpus else None


def ports(ask: Ask, candidate: Candidate) -> str | None:
    if any(candidate.port_is_taken(port) for port in ask.resources.ports):
        return "RESOURCE:PORTS"
    return None


# What no other task of the same ask can change comes first: it is asked once for all equal asks.
STATIC: tuple[Filter, ...] = (agent, attribute)
DYNAMIC: tuple[Filter, ...] = (member_of, distinct_instance, cpu, memory, gpu, ports)
