"""What job definitions and submissions have in common: names, tags, retries, timeouts, sizes, environment, resources.

Ranges and words: the AWS Batch API reference; what is ours says so.
"""

import re
from collections.abc import Mapping, Sequence

from shoal import arn
from shoal.problems import Problem, member, quoted

from shoal_scheduler.api.validate_names import tags_problems
from shoal_scheduler.api.validate_values import (
    Document,
    Problems,
    at_most,
    between,
    no_longer_than,
    one_of,
    required,
    unique,
    without_nul,
)
from shoal_scheduler.control.batch.consumables import QUANTITY_MAX
from shoal_scheduler.control.batch.task_definition import MEMORY, VCPU, cpu_units_of, memory_mib_of

PRIORITY_MAX = 9999
ATTEMPTS_MAX = 10
HOST_LOSSES_MAX = 100
RULES_MAX = 5
PATTERN_CHARACTERS_MAX = 512
TIMEOUT_SECONDS_MIN, TIMEOUT_SECONDS_MAX = 60, 2**31 - 1

# Of environment variables: set by the scheduler.
RESERVED_PREFIX = "AWS_BATCH_"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_DIGITS = re.compile(r"[0-9]*\*?")
_TAG = re.compile(r"tags\[(\d+)\](?:\.\w+)?")


def name_problems(field: str, name: str | None) -> Problems:
    """Of job definitions, queues, compute environments, consumable resources and jobs."""
    if not name:
        yield Problem(field, "is required")
    elif not _NAME.fullmatch(name):
        rule = "use 1 to 128 letters (A-Z, a-z), digits, hyphens and underscores, a letter or digit first"
        yield Problem(field, f"{quoted(name)} is not a name; {rule}")


def tag_map_problems(tags: Mapping[str, str]) -> Problems:
    """Batch writes tags as a map: each problem is told of its key."""
    keys = list(tags)
    for problem in tags_problems("tags", [{"key": key, "value": tags[key]} for key in keys]):
        index = _TAG.fullmatch(problem.field)
        yield Problem(member("tags", keys[int(index[1])]) if index else problem.field, problem.message)


def retry_problems(path: str, retry: Document) -> Problems:
    rules: Sequence[Document] = retry.get("evaluateOnExit", ())
    yield from between(f"{path}.attempts", retry.get("attempts"), 1, ATTEMPTS_MAX)
    yield from between(f"{path}.hostLosses", retry.get("hostLosses"), 0, HOST_LOSSES_MAX)
    yield from at_most(f"{path}.evaluateOnExit", rules, RULES_MAX)
    if rules and "attempts" not in retry:
        yield Problem(f"{path}.attempts", "is required with evaluateOnExit")
    for index, rule in enumerate(rules[:RULES_MAX]):
        yield from _rule_problems(f"{path}.evaluateOnExit[{index}]", rule)


def _rule_problems(path: str, rule: Document) -> Problems:
    action = rule.get("action")
    yield from required(path, rule, "action")
    if action and action.upper() not in ("RETRY", "EXIT"):
        yield from one_of(f"{path}.action", action, ("RETRY", "EXIT"))
    patterns = {key: rule[key] for key in ("onStatusReason", "onReason", "onExitCode") if rule.get(key)}
    if not patterns:
        yield Problem(path, 'has no condition; give onStatusReason, onReason or onExitCode, or "onReason": "*" for all')
    for key, pattern in patterns.items():
        yield from no_longer_than(f"{path}.{key}", pattern, PATTERN_CHARACTERS_MAX)
        if "*" in pattern[:PATTERN_CHARACTERS_MAX][:-1]:
            message = "has an asterisk that is not its last character; only the start can be matched, as in Host EC2*"
            yield Problem(f"{path}.{key}", message)
        elif key == "onExitCode" and not _DIGITS.fullmatch(pattern):
            yield Problem(
                f"{path}.{key}", f"must be digits, perhaps with an asterisk after them, not {quoted(pattern)}"
            )


def timeout_problems(path: str, timeout: Document) -> Problems:
    yield from required(path, timeout, "attemptDurationSeconds")
    seconds = timeout.get("attemptDurationSeconds")
    yield from between(f"{path}.attemptDurationSeconds", seconds, TIMEOUT_SECONDS_MIN, TIMEOUT_SECONDS_MAX, "seconds")


def parameters_problems(path: str, parameters: Mapping[str, str]) -> Problems:
    for key, value in parameters.items():
        if not key:
            yield Problem(path, "has a parameter without a name; name it")
        yield from without_nul(member(path, key), key, value)


def environment_problems(path: str, variables: Sequence[Document]) -> Problems:
    """Beside what holds for every container: the reserved names."""
    for index, variable in enumerate(variables):
        name = variable.get("name", "")
        if name.startswith(RESERVED_PREFIX):
            message = f"{quoted(name)} begins with {RESERVED_PREFIX}, which the scheduler sets itself; rename it"
            yield Problem(f"{path}[{index}].name", message)


def size_problems(path: str, container: Document, *, complete: bool) -> Problems:
    """VCPU and MEMORY of resourceRequirements, and the fields that were there before it. The others: see
    `api.validate_requirements`.

    complete: both must be given, as a job definition must, and a submission need not.
    """
    given = [requirement.get("type") for requirement in container.get("resourceRequirements", ())]
    for index, requirement in enumerate(container.get("resourceRequirements", ())):
        at, value = f"{path}.resourceRequirements[{index}].value", requirement.get("value", "")
        if requirement.get("type") == VCPU and not cpu_units_of(value):
            yield Problem(at, f'must be a number of vCPUs as "1" or "0.25", not {quoted(value)}')
        if requirement.get("type") == MEMORY and not memory_mib_of(value):
            yield Problem(at, f'must be a whole number of MiB as "2048", not {quoted(value)}')
        if requirement.get("type") in (VCPU, MEMORY) and "sharingStrategy" in requirement:
            yield Problem(f"{path}.resourceRequirements[{index}].sharingStrategy", "is for GPU only; take it out")
    types = [(f"{path}.resourceRequirements[{index}].type", kind) for index, kind in enumerate(given) if kind]
    sizes = [(field, kind) for field, kind in types if kind in (VCPU, MEMORY)]
    yield from unique(sizes, "{value} is also the type of {first}; join them")
    for kind, legacy in ((VCPU, "vcpus"), (MEMORY, "memory")):
        yield from between(f"{path}.{legacy}", container.get(legacy), 1, 2**31 - 1)
        if legacy in container and kind in given:
            yield Problem(f"{path}.{legacy}", f"is given in resourceRequirements as well, as {kind}; take this one out")
        if complete and legacy not in container and kind not in given:
            example = '{"type": "VCPU", "value": "1"}' if kind == VCPU else '{"type": "MEMORY", "value": "2048"}'
            yield Problem(f"{path}.resourceRequirements", f"{kind} is required, as {example}")


def consumables_problems(path: str, properties: Document) -> Problems:
    """Whether there are such resources is not looked at: jobs wait for them."""
    listed: Sequence[Document] = properties.get("consumableResourceList", ())
    names = []
    for index, each in enumerate(listed):
        at = f"{path}.consumableResourceList[{index}]"
        name = arn.short(each.get("consumableResource", ""))
        yield from name_problems(f"{at}.consumableResource", name)
        yield from required(at, each, "quantity")
        yield from between(f"{at}.quantity", each.get("quantity"), 1, QUANTITY_MAX)
        names.append((f"{at}.consumableResource", name))
    yield from unique(names, "{value} is also {first}; join them")


def priority_problems(field: str, priority: int | None) -> Problems:
    yield from between(field, priority, 0, PRIORITY_MAX)
