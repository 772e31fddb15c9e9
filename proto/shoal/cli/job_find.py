"""From what a person types to jobs: an id, its short form, a name that only one job has, the beginning of an id; each
with :INDEX."""

from collections.abc import AsyncIterator, Mapping, Sequence

from shoal import errors
from shoal.cli import find, text
from shoal.cli.failures import NOT_FOUND, Failed
from shoal.cli.job_order import ID
from shoal.cli.session import Session
from shoal.v1 import job_pb2, job_queue_pb2

# A filter that any job passes: with one, ListJobs gives jobs of every status.
EVERY = job_queue_pb2.KeyValuesPair(name="AFTER_CREATED_AT", values=["0"])


async def queues(session: Session) -> list[str]:
    """The names of all job queues."""
    request = job_queue_pb2.DescribeJobQueuesRequest()
    return [
        each.job_queue_name
        async for page in find.pages(session.client.batch.DescribeJobQueues, request)
        for each in page.job_queues
    ]


async def summaries(session: Session, request: job_pb2.ListJobsRequest) -> AsyncIterator[job_pb2.JobSummary]:
    async for page in find.pages(session.client.batch.ListJobs, request):
        for each in page.job_summary_list:
            yield each


async def job_ids(session: Session, names: Sequence[str]) -> list[str]:
    """The id of each named job or child. Lists the jobs only if a name is no id.

    Raises Failed if a name fits none (exit code 3), or several.
    """
    if all(ID.fullmatch(name) for name in names):
        return list(names)
    known: dict[str, str] = {}
    for queue in await queues(session):
        request = job_pb2.ListJobsRequest(job_queue=queue, filters=[EVERY])
        async for each in summaries(session, request):
            known[each.job_id] = each.job_name
    return [choose(name, known) for name in names]


def choose(name: str, known: Mapping[str, str]) -> str:
    """`known`: names of jobs by their ids. Raises Failed."""
    if ID.fullmatch(name):
        return name
    wanted, colon, index = name.partition(":")
    if colon and not (index.isascii() and index.isdecimal()):
        raise Failed(f"{name!r}: what follows the colon is the index of a child, as in {wanted}:7.")
    found = _meant(wanted, known)
    if not found:
        raise Failed(
            f"There is no job {wanted!r}.", "shoal job ls -a; jobs that ended long ago are forgotten", NOT_FOUND
        )
    if len(found) > 1:
        listed = text.sentence_list(f"{short(each)} ({known[each]})" for each in found)
        raise Failed(f"{wanted!r} fits {len(found):,} jobs: {listed}.", "give more of the id")
    return f"{found[0]}{colon}{index}"


async def describe(session: Session, ids: Sequence[str]) -> list[job_pb2.JobDetail]:
    """In the order given. Raises NotFound for what does not exist."""
    found: dict[str, job_pb2.JobDetail] = {}
    for batch in find.batches(list(dict.fromkeys(ids))):
        answer = await session.client.batch.DescribeJobs(job_pb2.DescribeJobsRequest(jobs=batch))
        found |= {each.job_id: each for each in answer.jobs}
    missing = [each for each in ids if each not in found]
    if missing:
        listed = text.sentence_list(missing)
        raise errors.NotFound(f"There is no job {listed}.", "shoal job ls -a; jobs that ended long ago are forgotten")
    return [found[each] for each in ids]


def short(job_id: str) -> str:
    """The last group of its digits: the others tell the time of its submission, and jobs of a minute begin alike.

    >>> short("0b0d5d3c-61a7-7d8f-9a0c-0123456789ab"), short("0b0d5d3c-61a7-7d8f-9a0c-0123456789ab:7")
    ('0123456789ab', '0123456789ab:7')
    """
    return job_id.rpartition("-")[2]


def _meant(wanted: str, known: Mapping[str, str]) -> list[str]:
    """What is written out comes before what only begins so: a job called `a` hides ids that begin with it."""
    digits = wanted.lower()
    whole = [job_id for job_id in known if digits in (job_id, short(job_id))]
    named = whole or [job_id for job_id, job_name in known.items() if job_name == wanted]
    if named or not wanted:
        return named
    return [job_id for job_id in known if job_id.startswith(digits) or short(job_id).startswith(digits)]
