"""In which order the jobs of one file are submitted."""

from typing import Any

import pytest
from shoal.cli.job_order import CannotOrder, ordered, resolved

ID = "0b0d5d3c-61a7-4d8f-9a0c-0123456789ab"


def jobs(**waits: list[str]) -> list[dict[str, Any]]:
    return [{"jobName": name, "dependsOn": [{"jobId": each} for each in others]} for name, others in waits.items()]


@pytest.mark.parametrize(
    ("documents", "order"),
    [
        (jobs(a=[], b=[]), [0, 1]),
        (jobs(montage=["flip", "sum"], sum=["flip"], flip=[]), [2, 1, 0]),
        (jobs(a=[ID], b=[f"{ID}:17"]), [0, 1]),
        ([{"jobName": "a", "dependsOn": [{"type": "SEQUENTIAL"}]}, {"jobName": "b", "dependsOn": None}], [0, 1]),
        ([], []),
    ],
)
def test_each_comes_after_what_it_waits_for(documents: list[dict[str, Any]], order: list[int]) -> None:
    assert ordered(documents) == order


@pytest.mark.parametrize(
    ("documents", "field", "said"),
    [
        (jobs(a=["a"]), "dependsOn", "a waits for itself"),
        (jobs(a=["b"], b=["a"]), "dependsOn", "in a circle: a -> b -> a"),
        (jobs(a=["c"], b=["a"], c=["b"], d=[]), "dependsOn", "circle: "),
        (jobs(a=[], b=["x"]), "[1].dependsOn[0].jobId", '"x" is neither a job\'s id nor a jobName of the file'),
        ([*jobs(a=[]), *jobs(a=[]), *jobs(b=["a"])], "[2].dependsOn[0].jobId", '2 jobs of the file are called "a"'),
    ],
)
def test_what_cannot_be_ordered(documents: list[dict[str, Any]], field: str, said: str) -> None:
    with pytest.raises(CannotOrder) as raised:
        ordered(documents)
    (problem,) = raised.value.problems
    assert problem.field == field
    assert said in problem.message


def test_a_cycle_through_twenty_is_named_whole() -> None:
    ring = {f"j{number}": [f"j{(number + 1) % 20}"] for number in range(20)}
    with pytest.raises(CannotOrder) as raised:
        ordered(jobs(**ring))
    (problem,) = raised.value.problems
    chain = problem.message.partition("circle: ")[2].partition(";")[0].split(" -> ")
    assert chain[0] == chain[-1]
    assert set(chain) == set(ring)


def test_names_become_ids() -> None:
    (document,) = jobs(b=["a", ID])
    assert resolved(document, {"a": "1f"})["dependsOn"] == [{"jobId": "1f"}, {"jobId": ID}]
    assert resolved({"jobName": "b"}, {"a": "1f"}) == {"jobName": "b"}
