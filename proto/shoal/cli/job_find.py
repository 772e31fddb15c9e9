"""From what a person types to jobs: an id, its short form, the beginning of either, a name that only one job has; each
with :INDEX."""

from collections.abc import AsyncGenerator, Mapping, Sequence

from shoal import errors
from shoal.cli import find, text
from shoal.cli.failures import NOT_FOUND, Failed
from shoal.cli.job_order import ID
from shoal.cli.session import Session
from shoal.v1 import job_pb2, job_queue_pb2
from shoal.v1.job_queue_pb2 import KeyValuesPair

# A definition and what a submission changes of it have 54 KiB at most: so an answer stays below the 4 MiB of a message.
DESCRIBED_AT_ONCE = 50

# A filter that any job passes: with one, ListJobs gives jobs of every status.
EVERY = KeyValuesPair(name="AFTER_CREATED_AT", values=["0"])


async def queues(session: Session) -> list[str]:
    """The names of all job queues."""
    request = job_queue_pb2.DescribeJobQueuesRequest()
    return [
        each.job_queue_name
        async for page in find.pages(session.client.batch.DescribeJobQueues, request)
        for each in page.job_queues
    ]


async def summaries(session: Session, request: job_pb2.ListJobsRequest) -> AsyncGenerator[job_pb2.JobSummary]:
    async for page in find.pages(session.client.batch.ListJobs, request):
        for each in page.job_summary_list:
            yield each


async def job_ids(session: Session, names: Sequence[str]) -> list[str]:
    """The id of each named job or child. What is no id is looked for by its name; only if no job is called so, all
    jobs are listed.

    Raises Failed if a name fits none (exit code 3), or several.
    """
    if all(ID.fullmatch(name) for name in names):
        return list(names)
    everywhere, every = await queues(session), dict[str, str]()
    found = []
    for name in names:
        called = KeyValuesPair(name="JOB_NAME", values=[name.partition(":")[0] or "*"])
        known = {} if ID.fullmatch(name) else await _listed(session, everywhere, called)
        if not (known or every or ID.fullmatch(name)):
            every = await _listed(session, everywhere, EVERY)
        found.append(choose(name, known or every))
    return found


async def _listed(session: Session, queue_names: Sequence[str], passes: KeyValuesPair) -> dict[str, str]:
    """The names of jobs by their ids."""
    return {
        each.job_id: each.job_name
        for queue in queue_names
        async for each in summaries(session, job_pb2.ListJobsRequest(job_queue=queue, filters=[passes]))
    }


def choose(name: str, known: Mapping[str, str]) -> str:
    """`known`: names of jobs by their ids. Raises Failed."""
    if ID.fullmatch(name):
        return name
    wanted, colon, index = name.partition(":")
    if colon and not (index.isascii() and index.isdecimal()):
        raise Failed(f"{name!r}: what follows the colon is the index of a child, as in {wanted}:7.")
    found = [job_id for job_id, job_name in known.items() if job_name == wanted]
    found = found or [job_id for job_id in known if wanted and _is_meant(wanted.lower(), job_id)]
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
    found = {job.job_id: job for job in await known(session, list(dict.fromkeys(ids)))}
    missing = [each for each in ids if each not in found]
    if missing:
        listed = text.sentence_list(missing)
        raise errors.NotFound(f"There is no job {listed}.", "shoal job ls -a; jobs that ended long ago are forgotten")
    return [found[each] for each in ids]


async def known(session: Session, ids: Sequence[str]) -> list[job_pb2.JobDetail]:
    """Those that exist."""
    found: list[job_pb2.JobDetail] = []
    for batch in find.batches(ids, DESCRIBED_AT_ONCE):
        found += (await session.client.batch.DescribeJobs(job_pb2.DescribeJobsRequest(jobs=batch))).jobs
    return found


def short(job_id: str) -> str:
    """The last group of its digits: the others tell the time of its submission, and jobs of a minute begin alike.

    >>> short("0b0d5d3c-61a7-7d8f-9a0c-0123456789ab"), short("0b0d5d3c-61a7-7d8f-9a0c-0123456789ab:7")
    ('0123456789ab', '0123456789ab:7')
    """
    return job_id.rpartition("-")[2]


def _is_meant(wanted: str, job_id: str) -> bool:
    return job_id.startswith(wanted) or short(job_id).startswith(wanted)
