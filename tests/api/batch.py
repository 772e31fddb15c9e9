"""A queue, what is behind it and a job definition, for tests of jobs to build on."""

from typing import Any

from shoal import awsjson
from shoal.v1 import batch_pb2_grpc, job_definition_pb2, job_pb2, job_queue_pb2

from tests.fakes.scheduler import Scheduler

FLIP: dict[str, Any] = {
    "jobDefinitionName": "flip",
    "type": "container",
    "parameters": {"in": "default.png"},
    "containerProperties": {
        "image": "busybox",
        "command": ["flip", "Ref::in", "Ref::out"],
        "resourceRequirements": [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "32"}],
    },
}
SEVERAL: dict[str, Any] = {
    "jobDefinitionName": "several",
    "type": "container",
    "ecsProperties": {
        "taskProperties": [
            {
                "containers": [
                    {
                        "name": name,
                        "image": "busybox",
                        "essential": True,
                        "resourceRequirements": FLIP["containerProperties"]["resourceRequirements"],
                    }
                    for name in ("main", "side")
                ]
            }
        ]
    },
}


def message(document: dict[str, Any], message_type: Any) -> Any:
    return awsjson.to_message(document, message_type, strict=True)[0]


class Batch:
    """Calls of one scheduler, with AWS JSON in and out."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.stub = batch_pb2_grpc.BatchStub(scheduler.channel())

    async def prepare(self, *definitions: dict[str, Any], queue: str = "pictures") -> None:
        """Every instance of the cluster `default` is behind the queue."""
        await self.stub.CreateComputeEnvironment(
            job_queue_pb2.CreateComputeEnvironmentRequest(compute_environment_name="here", type="UNMANAGED")
        )
        await self.create_queue(queue)
        for each in definitions or (FLIP,):
            request = message(each, job_definition_pb2.RegisterJobDefinitionRequest)
            await self.stub.RegisterJobDefinition(request)

    async def create_queue(self, name: str) -> None:
        order = [{"order": 1, "computeEnvironment": "here"}]
        document = {"jobQueueName": name, "priority": 1, "computeEnvironmentOrder": order}
        await self.stub.CreateJobQueue(message(document, job_queue_pb2.CreateJobQueueRequest))

    async def submit(self, **fields: Any) -> str:
        """The id of a job of definition flip, called one; `fields` of the request go over that."""
        answer = await self.stub.SubmitJob(submission(**fields))
        return str(answer.job_id)

    async def describe(self, *jobs: str) -> list[dict[str, Any]]:
        answer = await self.stub.DescribeJobs(job_pb2.DescribeJobsRequest(jobs=jobs))
        return [awsjson.to_document(each) for each in answer.jobs]

    async def list(self, **fields: Any) -> tuple[list[dict[str, Any]], str]:
        """A page, and the token of the next."""
        answer = await self.stub.ListJobs(message(fields, job_pb2.ListJobsRequest))
        return [awsjson.to_document(each) for each in answer.job_summary_list], answer.next_token


def submission(**fields: Any) -> job_pb2.SubmitJobRequest:
    document = {"jobName": "one", "jobQueue": "pictures", "jobDefinition": "flip", **fields}
    request: job_pb2.SubmitJobRequest = message(document, job_pb2.SubmitJobRequest)
    return request
