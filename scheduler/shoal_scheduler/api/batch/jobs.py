"""Jobs: submit, describe, list, cancel, terminate; the front of a queue."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from shoal import arn, awsjson
from shoal.rpc import Identity
from shoal.v1 import job_pb2 as pb
from shoal.v1 import job_queue_pb2

from shoal_scheduler.api.batch import list_jobs
from shoal_scheduler.api.batch.job_messages import details
from shoal_scheduler.api.batch.validate_submit import REQUEST_BYTES_MAX, submit_problems
from shoal_scheduler.api.fields import bounded, refuse, required
from shoal_scheduler.api.validate_values import no_longer_than, size_problems
from shoal_scheduler.control.batch import job_inputs as i
from shoal_scheduler.control.batch import queues
from shoal_scheduler.control.batch.children import job_key
from shoal_scheduler.control.batch.definitions import submittable
from shoal_scheduler.control.batch.why import Reasons
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.engine import now_millis
from shoal_scheduler.model.job import Job
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.tables import Tables

DESCRIBED_MAX = 100
STOPPED_MAX = 50
REASON_CHARACTERS_MAX = 1024


async def submit(plane: ControlPlane, request: pb.SubmitJobRequest, _caller: Identity) -> pb.SubmitJobResponse:
    refuse(size_problems(request.ByteSize(), REQUEST_BYTES_MAX))
    document = awsjson.to_document(request)
    refuse(submit_problems(document, _definition(plane, document)))
    digest = _digest(document)
    token, tags = document.pop("clientToken", ""), document.pop("tags", {})
    job = await plane.engine.submit(i.SubmitJob(document, tags, token, digest))
    assert isinstance(job, Job)
    return pb.SubmitJobResponse(job_arn=arn.job_arn(job.id), job_name=job.name, job_id=job.id)


def _definition(plane: ControlPlane, document: dict[str, Any]) -> dict[str, Any] | None:
    """Of the job. None for a repeated request: whatever has become of its definition since, it gets the answer it
    got; and for one that names none, which is a problem of its own. Raises Refused."""
    if not document.get("jobDefinition") or document.get("clientToken") in plane.tables.batch.tokens:
        return None
    return submittable(Overlay(plane.tables).batch, document["jobDefinition"]).document


def _digest(document: dict[str, Any]) -> str:
    """Of what is asked for, whatever the token."""
    asked = {name: value for name, value in document.items() if name != "clientToken"}
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()[:32]


async def describe(plane: ControlPlane, request: pb.DescribeJobsRequest, _caller: Identity) -> pb.DescribeJobsResponse:
    """What is named and not there is not in the answer, as in AWS."""
    names = dict.fromkeys(map(arn.short, bounded(request.jobs, "jobs", DESCRIBED_MAX)))
    found = [job_key(name) for name in names if _exists(plane.tables, name)]
    return pb.DescribeJobsResponse(jobs=details(plane.tables, found))


def _exists(tables: Tables, name: str) -> bool:
    job_id, child = job_key(name)
    entry = tables.batch.jobs.get(job_id)
    if entry is None:
        return False
    return child < entry.job.array_size if child is not None else ":" not in name


async def list_all(plane: ControlPlane, request: pb.ListJobsRequest, _caller: Identity) -> pb.ListJobsResponse:
    return list_jobs.listed(plane.tables, request)


async def cancel(plane: ControlPlane, request: pb.CancelJobRequest, _caller: Identity) -> pb.CancelJobResponse:
    job = required(request, "job_id", "jobId")
    await plane.engine.submit(i.CancelJob(arn.short(job), _reason(request)))
    return pb.CancelJobResponse()


async def terminate(plane: ControlPlane, request: pb.TerminateJobRequest, _caller: Identity) -> pb.TerminateJobResponse:
    job = required(request, "job_id", "jobId")
    await plane.engine.submit(i.TerminateJob(arn.short(job), _reason(request)))
    return pb.TerminateJobResponse()


async def cancel_many(plane: ControlPlane, request: pb.CancelJobsRequest, _caller: Identity) -> pb.CancelJobsResponse:
    done, errors = await _each(plane, request, i.CancelJob)
    details = [pb.CancelJobsErrorDetail(job=job, code=code, message=message) for job, code, message in errors]
    return pb.CancelJobsResponse(successful=done, errors=details)


async def terminate_many(
    plane: ControlPlane, request: pb.TerminateJobsRequest, _caller: Identity
) -> pb.TerminateJobsResponse:
    done, errors = await _each(plane, request, i.TerminateJob)
    details = [pb.TerminateJobsErrorDetail(job=job, code=code, message=message) for job, code, message in errors]
    return pb.TerminateJobsResponse(successful=done, errors=details)


def _reason(request: Any) -> str:
    reason = required(request, "reason", "reason")
    refuse(no_longer_than("reason", reason, REASON_CHARACTERS_MAX))
    return reason


async def _each(
    plane: ControlPlane, request: Any, wish: Callable[[str, str], Any]
) -> tuple[list[str], list[tuple[str, str, str]]]:
    """Every job on its own: those that were told, and of the others job, code and why."""
    names, reason = list(dict.fromkeys(bounded(request.jobs, "jobs", STOPPED_MAX))), _reason(request)
    asked = (plane.engine.submit(wish(arn.short(name), reason)) for name in names)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    errors = []
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, Refused):
            errors.append((name, answer.reason, answer.message))
        elif isinstance(answer, BaseException):
            raise answer
    refused = {name for name, _, _ in errors}
    return [name for name in names if name not in refused], errors


async def snapshot(
    plane: ControlPlane, request: job_queue_pb2.GetJobQueueSnapshotRequest, _caller: Identity
) -> job_queue_pb2.GetJobQueueSnapshotResponse:
    name = required(request, "job_queue", "jobQueue")
    queue, now = queues.find(Overlay(plane.tables).batch, name), now_millis()
    found = Reasons(plane.tables).snapshot(queue.name, now)
    answer = job_queue_pb2.GetJobQueueSnapshotResponse(overtaking_max=queue.overtaking_max)
    answer.front_of_queue.last_updated_at = answer.queue_utilization.last_updated_at = now
    answer.queue_utilization.total_capacity_usage.add(capacity_unit="VCPU", quantity=found.vcpus)
    for each in found.front:
        answer.front_of_queue.jobs.add(
            job_arn=arn.job_arn(each.job.id),
            job_name=each.job.name,
            earliest_time_at_position=each.since,
            waiting_reason=each.reason or None,
            overtaken=each.overtaken,
        )
    return answer
