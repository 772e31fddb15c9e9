"""First come, first served on one machine, with bounded overtaking: written out, as plainly as can be.

A job that does not fit lets later ones pass; one that was passed by `overtaking_max` later ones is passed by no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from tests.load.swf_log import LoggedJob


@dataclass
class Waiting:
    index: int
    processors: int
    overtaken: int = 0


def first_come_first_served(jobs: Sequence[LoggedJob], processors: int, overtaking_max: int) -> list[int]:
    """When each of the jobs starts, in seconds. They come in the order of their submit times."""
    starts = [0] * len(jobs)
    free, waiting, arrived = processors, list[Waiting](), 0
    ends: list[tuple[int, int]] = []  # time, and the processors that come back
    while ends or arrived < len(jobs):
        now = min([end for end, _ in ends[:1]] + [job.submitted for job in jobs[arrived : arrived + 1]])
        while ends and ends[0][0] == now:
            free += heappop(ends)[1]
        while arrived < len(jobs) and jobs[arrived].submitted == now:
            waiting.append(Waiting(arrived, jobs[arrived].processors))
            arrived += 1
        passed: list[Waiting] = []
        for each in waiting:
            if each.processors > free:
                passed.append(each)
            elif any(other.overtaken >= overtaking_max for other in passed):
                break
            else:
                for other in passed:
                    other.overtaken += 1
                free -= each.processors
                starts[each.index] = now
                heappush(ends, (now + jobs[each.index].run, each.processors))
                each.processors = 0
        waiting = [each for each in waiting if each.processors]
    return starts
