"""What ARNs of AWS Batch name, beside jobs, for commands that take anything."""

from typing import Any

from shoal import awsjson
from shoal.cli.compute_environment import show_environment
from shoal.cli.failures import NOT_FOUND, Failed
from shoal.cli.queue import show_queue
from shoal.cli.session import Session
from shoal.cli.show import print_document
from shoal.v1 import job_definition_pb2, job_queue_pb2

QUEUE, ENVIRONMENT, JOB_DEFINITION = "job-queue", "compute-environment", "job-definition"
CONSUMABLE = "consumable-resource"
KINDS = (QUEUE, ENVIRONMENT, JOB_DEFINITION, CONSUMABLE)


async def fetch(session: Session, kind: str, name: str) -> Any:
    """The answer that describes it alone. Raises Failed if there is none."""
    batch = session.client.batch
    answer: Any
    if kind == QUEUE:
        answer = await batch.DescribeJobQueues(job_queue_pb2.DescribeJobQueuesRequest(job_queues=[name]))
        found = len(answer.job_queues)
    elif kind == ENVIRONMENT:
        request = job_queue_pb2.DescribeComputeEnvironmentsRequest(compute_environments=[name])
        answer = await batch.DescribeComputeEnvironments(request)
        found = len(answer.compute_environments)
    elif kind == JOB_DEFINITION:
        asked = job_definition_pb2.DescribeJobDefinitionsRequest(job_definitions=[name])
        answer = await batch.DescribeJobDefinitions(asked)
        found = len(answer.job_definitions)
    else:
        raise Failed(f"{name} is a consumable resource.", f"shoal consumable describe {name}")
    if not found:
        raise Failed(f"There is no {kind} {name}.", f"shoal {'queue' if kind == QUEUE else kind} ls", NOT_FOUND)
    return answer


def show_answer(answer: Any) -> None:
    match answer:
        case job_queue_pb2.DescribeJobQueuesResponse():
            for queue in answer.job_queues:
                show_queue(queue)
        case job_queue_pb2.DescribeComputeEnvironmentsResponse():
            for environment in answer.compute_environments:
                show_environment(environment)
        case job_definition_pb2.DescribeJobDefinitionsResponse():
            # What was registered is a document.
            print_document("yaml", awsjson.to_document(answer))
