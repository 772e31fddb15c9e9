"""Jobs: submit, describe, list, cancel, terminate; the front of a queue."""

from typing import NoReturn

from shoal.rpc import Identity
from shoal.v1 import job_pb2 as pb
from shoal.v1 import job_queue_pb2

from shoal_scheduler.api.fields import bounded, required
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.refusal import Refused, invalid_field


async def submit(_plane: ControlPlane, request: pb.SubmitJobRequest, _caller: Identity) -> pb.SubmitJobResponse:
    required(request, "job_name", "jobName")
    _unimplemented("SubmitJob")


async def describe(_plane: ControlPlane, request: pb.DescribeJobsRequest, _caller: Identity) -> pb.DescribeJobsResponse:
    bounded(request.jobs, "jobs", most=100)
    _unimplemented("DescribeJobs")


async def list_all(_plane: ControlPlane, request: pb.ListJobsRequest, _caller: Identity) -> pb.ListJobsResponse:
    if not (request.job_queue or request.array_job_id):
        raise invalid_field("jobQueue", "is required: name a queue, or with arrayJobId an array.")
    _unimplemented("ListJobs")


async def cancel(_plane: ControlPlane, request: pb.CancelJobRequest, _caller: Identity) -> pb.CancelJobResponse:
    required(request, "job_id", "jobId")
    _unimplemented("CancelJob")


async def cancel_many(_plane: ControlPlane, request: pb.CancelJobsRequest, _caller: Identity) -> pb.CancelJobsResponse:
    bounded(request.jobs, "jobs", most=50)
    _unimplemented("CancelJobs")


async def terminate(
    _plane: ControlPlane, request: pb.TerminateJobRequest, _caller: Identity
) -> pb.TerminateJobResponse:
    required(request, "job_id", "jobId")
    _unimplemented("TerminateJob")


async def terminate_many(
    _plane: ControlPlane, request: pb.TerminateJobsRequest, _caller: Identity
) -> pb.TerminateJobsResponse:
    bounded(request.jobs, "jobs", most=50)
    _unimplemented("TerminateJobs")


async def snapshot(
    _plane: ControlPlane, request: job_queue_pb2.GetJobQueueSnapshotRequest, _caller: Identity
) -> job_queue_pb2.GetJobQueueSnapshotResponse:
    required(request, "job_queue", "jobQueue")
    _unimplemented("GetJobQueueSnapshot")


def _unimplemented(method: str) -> NoReturn:
    raise Refused("unimplemented", f"{method} is not implemented yet.")
