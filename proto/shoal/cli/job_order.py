"""Documents of one file that are jobs waiting for one another: in which order they are submitted. Pure.

Each is a SubmitJob as AWS JSON. In `dependsOn`, a `jobId` that is the `jobName` of another document of the file means
that job, whose id nobody knows yet.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from shoal.problems import Problem, quoted

Document = Mapping[str, Any]

# What a job's id looks like, its child's too; anything else has to be a name in the file.
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(:[0-9]{1,7})?")


class CannotOrder(Exception):  # noqa: N818 - reads as what it says
    """The file is wrong, and nothing of it may be submitted."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(str(problems[0]))
        self.problems = problems


def ordered(documents: Sequence[Document]) -> list[int]:
    """The documents by number, each after those it depends on; otherwise as they stand. Raises CannotOrder."""
    numbers = {document.get("jobName"): number for number, document in enumerate(documents)}
    counted = Counter(document.get("jobName") for document in documents)
    problems: list[Problem] = []
    before: dict[int, list[int]] = {number: [] for number in range(len(documents))}
    for number, document in enumerate(documents):
        for at, name in _named(document):
            field = f"[{number}].dependsOn[{at}].jobId"
            if counted[name] > 1:
                problems.append(Problem(field, f"{counted[name]} jobs of the file are called {quoted(name)}; rename"))
            elif name not in numbers:
                problems.append(Problem(field, f"{quoted(name)} is neither a job's id nor a jobName of the file"))
            else:
                before[number].append(numbers[name])
    if problems:
        raise CannotOrder(problems)
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError as error:
        # Each is waited for by the one after it.
        names = [str(documents[number].get("jobName")) for number in error.args[1]]
        raise CannotOrder([_cycle(names)]) from None


def _cycle(names: Sequence[str]) -> Problem:
    if len(names) == 2:
        return Problem("dependsOn", f"{names[0]} waits for itself: take that out")
    chain = " -> ".join(names)
    return Problem("dependsOn", f"these jobs wait for one another in a circle: {chain}; take one of these arrows out")


def _named(document: Document) -> list[tuple[int, str]]:
    """What is no id, with its place."""
    found = enumerate(document.get("dependsOn") or ())
    named = ((at, each.get("jobId")) for at, each in found if isinstance(each, Mapping))
    return [(at, name) for at, name in named if isinstance(name, str) and name and not ID.fullmatch(name)]


def resolved(document: Document, ids: Mapping[str, str]) -> dict[str, Any]:
    """With the ids of the jobs it names. `ids`: by name, of those that were submitted."""
    depends_on = [
        {**each, "jobId": ids.get(each["jobId"], each["jobId"])} if each.get("jobId") else each
        for each in document.get("dependsOn") or ()
    ]
    return {**document, "dependsOn": depends_on} if depends_on else dict(document)
