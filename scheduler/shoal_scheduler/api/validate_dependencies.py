"""The order of a task's containers: dependsOn, and that there is one at all."""

from collections.abc import Mapping, Sequence

from shoal.problems import Problem, quoted

from shoal_scheduler.api.validate_values import Document, Problems, one_of

CONDITIONS = ("START", "COMPLETE", "SUCCESS", "HEALTHY")


def dependency_problems(containers: Sequence[Document]) -> Problems:
    by_name = {container.get("name", ""): container for container in containers}
    for number, container in enumerate(containers):
        for index, dependency in enumerate(container.get("dependsOn", ())):
            field = f"containerDefinitions[{number}].dependsOn[{index}]"
            yield from _one_dependency(field, container.get("name", ""), dependency, by_name)
    cycle = _cycle({name: _waits_for(container) & by_name.keys() for name, container in by_name.items()})
    if cycle:
        yield Problem(
            "containerDefinitions",
            f"wait for each other in a circle: {' -> '.join(map(quoted, cycle))}; "
            "take one of these out of dependsOn, links or volumesFrom",
        )


def _one_dependency(field: str, name: str, dependency: Document, by_name: Mapping[str, Document]) -> Problems:
    target, condition = dependency.get("containerName", ""), dependency.get("condition")
    if condition is None:
        yield Problem(f"{field}.condition", f"is required: one of {', '.join(CONDITIONS)}")
    yield from one_of(f"{field}.condition", condition, CONDITIONS)
    if target == name:
        yield Problem(f"{field}.containerName", f"{quoted(name)} cannot wait for itself")
        return
    if target not in by_name:
        yield Problem(f"{field}.containerName", f"{quoted(target)} is no container of this task definition")
        return
    if condition in ("COMPLETE", "SUCCESS") and by_name[target].get("essential", True):
        yield Problem(
            f"{field}.condition",
            f"{condition} needs {quoted(target)} to end, but it is essential and its end stops the task; "
            "set its essential to false",
        )
    if condition == "HEALTHY" and "healthCheck" not in by_name[target]:
        yield Problem(f"{field}.condition", f"HEALTHY needs a healthCheck in {quoted(target)}; add one")


def _waits_for(container: Document) -> set[str]:
    """The containers that must start first, whichever field says so. Waiting for itself is told elsewhere."""
    return {
        *(dependency.get("containerName", "") for dependency in container.get("dependsOn", ())),
        *(link.partition(":")[0] for link in container.get("links", ())),
        *(source.get("sourceContainer", "") for source in container.get("volumesFrom", ())),
    } - {container.get("name", "")}


def _cycle(waits_for: Mapping[str, set[str]]) -> list[str]:
    """The first circle, from one of its members back to it; [] if an order exists."""
    rest = {name: set(others) for name, others in waits_for.items()}
    while free := [name for name, others in rest.items() if not others & rest.keys()]:
        for name in free:
            del rest[name]
    if not rest:
        return []
    path = [next(iter(rest))]
    while True:
        following = min(rest[path[-1]] & rest.keys())
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)
