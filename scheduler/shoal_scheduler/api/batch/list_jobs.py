"""ListJobs: pages of jobs, the newest first, and of an array's children by their index.

A page of an array of a million looks at 256 children at a time, as one number each, and begins where the one before
ended.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from shoal import arn
from shoal.problems import Problem, quoted
from shoal.v1 import job_pb2 as pb
from shoal.v1.job_queue_pb2 import KeyValuesPair

from shoal_scheduler.api.batch.job_messages import summaries, summary
from shoal_scheduler.api.fields import refuse
from shoal_scheduler.api.pages import page_of_sorted
from shoal_scheduler.api.validate_values import Problems, one_of
from shoal_scheduler.control.batch import queues
from shoal_scheduler.control.batch.children import status
from shoal_scheduler.model import job as m
from shoal_scheduler.model.children import bits_of, children_in, chunk_count, chunk_of, ended, everyone
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.state.batch_tables import BatchTables
from shoal_scheduler.state.job_entry import JobEntry
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.startable import may_start, open_bits
from shoal_scheduler.state.tables import Tables

FILTERS = ("JOB_NAME", "JOB_DEFINITION", "BEFORE_CREATED_AT", "AFTER_CREATED_AT", "SHARE_IDENTIFIER")

# Larger than any time in milliseconds: what is newer sorts first.
_TIME_MAX = 10**15

_Test = Callable[[JobEntry], bool]

# What tells most jobs apart at once; `children.status` tells them all. An array is PENDING until it is over.
_MAY_BE: Mapping[str, _Test] = {
    m.SUBMITTED: lambda _: False,
    m.PENDING: lambda it: not it.state.outcome and bool(it.job.array_size or it.job.depends_on),
    m.RUNNABLE: lambda it: not (it.state.outcome or it.job.array_size or it.live),
    m.STARTING: lambda it: bool(it.live) and not it.job.array_size,
    m.RUNNING: lambda it: bool(it.started) and not it.job.array_size,
    m.SUCCEEDED: lambda it: it.state.outcome == m.SUCCEEDED,
    m.FAILED: lambda it: it.state.outcome == m.FAILED or bool(it.state.wish or it.failed),
}


def listed(tables: Tables, request: pb.ListJobsRequest) -> pb.ListJobsResponse:
    refuse(_problems(request))
    if request.array_job_id:
        return _children(tables, request)
    queue = queues.find(Overlay(tables).batch, request.job_queue).name
    jobs, may_be, wanted = tables.batch.jobs, _test(request), _status(request)
    keys = sorted(
        (-entry.job.created_at, job) for job, entry in jobs.items() if entry.job.queue == queue and may_be(entry)
    )

    def following(after: str) -> Iterator[tuple[str, str]]:
        begin = bisect_right(keys, _position(after)) if after else 0
        for key in islice(keys, begin, None):
            if wanted is None or status(tables.batch, key[1]) == wanted:
                yield _token_key(key), key[1]

    found, token = page_of_sorted(following, request)
    return pb.ListJobsResponse(job_summary_list=[summary(tables, job) for job in found], next_token=token or None)


def _problems(request: pb.ListJobsRequest) -> Problems:
    if request.multi_node_job_id:
        yield Problem("multiNodeJobId", "jobs over several instances are not there yet; leave it out")
    if not (request.job_queue or request.array_job_id):
        yield Problem("jobQueue", "is required: name a queue, or with arrayJobId an array")
    if request.job_queue and request.array_job_id:
        yield Problem("arrayJobId", "cannot stand beside jobQueue; give one of them")
    yield from one_of("jobStatus", request.job_status or None, m.STATUSES)
    if request.filters and request.array_job_id:
        yield Problem("filters", "do not apply to the children of an array; leave them out")
    if len(request.filters) > 1:
        yield Problem("filters", f"has {len(request.filters)} entries; only one is allowed")
    for index, each in enumerate(request.filters):
        yield from _filter_problems(f"filters[{index}]", each)


def _filter_problems(path: str, each: KeyValuesPair) -> Problems:
    yield from one_of(f"{path}.name", each.name, FILTERS)
    if not each.values:
        yield Problem(f"{path}.values", "is required: at least one value")
    if each.name in ("BEFORE_CREATED_AT", "AFTER_CREATED_AT"):
        if len(each.values) > 1:
            yield Problem(f"{path}.values", f"has {len(each.values)} entries; {each.name} takes one")
        for number, value in enumerate(each.values):
            if not (value.isascii() and value.isdecimal() and len(value) < 20):
                yield Problem(f"{path}.values[{number}]", f"must be milliseconds since 1970, not {quoted(value)}")


def _token_key(key: tuple[int, str]) -> str:
    """Of minus the time of its creation, and its id: the newest first."""
    return f"{_TIME_MAX + key[0]:016d}/{key[1]}"


def _position(token_key: str) -> tuple[int, str]:
    time, _, job = token_key.partition("/")
    return int(_number(time)) - _TIME_MAX, job


def _number(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise invalid_field("nextToken", "is not a token of this list: use the one of the last answer as it is.")
    return text


def _status(request: pb.ListJobsRequest) -> str | None:
    """With a filter, but for SHARE_IDENTIFIER, jobs of any status are meant, as in AWS."""
    if request.filters and request.filters[0].name != "SHARE_IDENTIFIER":
        return None
    return request.job_status or m.RUNNING


def _test(request: pb.ListJobsRequest) -> _Test:
    """Which jobs may be meant; `_status` is looked at after that."""
    wanted = _status(request)
    if not request.filters:
        return _MAY_BE[wanted or m.RUNNING]
    name, values = request.filters[0].name, list(request.filters[0].values)
    match name:
        case "SHARE_IDENTIFIER":
            return lambda it: it.job.share_identifier in values
        case "BEFORE_CREATED_AT":
            before = int(values[0])
            return lambda it: it.job.created_at < before
        case "AFTER_CREATED_AT":
            after = int(values[0])
            return lambda it: it.job.created_at > after
        case "JOB_NAME":
            names = [value.lower() for value in values]
            return lambda it: _fits(it.job.name.lower(), names)
        case _:
            shorts = [arn.short(value).lower() for value in values]
            return lambda it: _fits_definition(it.job.definition.lower(), shorts)


def _fits(name: str, patterns: Sequence[str]) -> bool:
    """All in lower case; what ends in an asterisk is a beginning."""
    return any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in patterns)


def _fits_definition(definition: str, patterns: Sequence[str]) -> bool:
    """Its name, or its name with the revision."""
    return _fits(definition, patterns) or _fits(definition.partition(":")[0], patterns)


def _children(tables: Tables, request: pb.ListJobsRequest) -> pb.ListJobsResponse:
    batch, array = tables.batch, arn.short(request.array_job_id)
    entry = batch.jobs.get(array)
    if entry is None:
        raise Refused("not_found", f"arrayJobId: there is no job {array!r}. List them with ListJobs.")
    if not entry.job.array_size:
        raise invalid_field("arrayJobId", f"{array} is no array: describe it with DescribeJobs.")
    wanted = request.job_status or m.RUNNING

    def following(after: str) -> Iterator[tuple[str, int]]:
        first = int(_number(after)) + 1 if after else 0
        for number in range(chunk_of(first)[0], chunk_count(entry.job)):
            bits = bits_at(batch, entry, number, wanted)
            yield from ((f"{child:07d}", child) for child in children_in(number, bits) if child >= first)

    children, token = page_of_sorted(following, request)
    return pb.ListJobsResponse(job_summary_list=summaries(tables, array, children), next_token=token or None)


def bits_at(batch: BatchTables, entry: JobEntry, number: int, wanted: str) -> int:
    """Children of the chunk that are in the status `wanted`, as `children.status` says of each."""
    job, chunk = entry.job, batch.chunk(entry.job.id, number)
    succeeded, live = bits_of(chunk.succeeded), batch.live_bits(job.id, number)
    waiting = everyone(job, number) & ~ended(chunk) & ~live
    if wanted == m.SUCCEEDED:
        return succeeded
    if wanted in (m.STARTING, m.RUNNING):
        started = sum(
            1 << child % m.CHILDREN_PER_CHUNK for child in children_in(number, live) if child in entry.started
        )
        return started if wanted == m.RUNNING else live & ~started
    if entry.state.outcome or entry.state.wish:
        return bits_of(chunk.failed) | waiting if wanted == m.FAILED else 0
    if wanted == m.FAILED:
        return bits_of(chunk.failed)
    startable = open_bits(batch, job, number) & waiting if may_start(batch, job) else 0
    return {m.RUNNABLE: startable, m.PENDING: waiting & ~startable}.get(wanted, 0)
