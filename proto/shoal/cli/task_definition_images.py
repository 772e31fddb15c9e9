"""The same task definition with other images: a new revision only where that says something new."""

from collections.abc import Mapping, Sequence
from typing import Any

from shoal import awsjson
from shoal.cli import image_definition, text
from shoal.cli.failures import NOT_FOUND, Failed
from shoal.cli.session import Session
from shoal.image_reference import split
from shoal.v1 import task_definition_pb2 as pb


async def with_images(session: Session, name: str, images: Sequence[str]) -> str:
    """FAMILY:REVISION of the definition `name` with each of `images`, `[CONTAINER=]IMAGE`. Raises Failed."""
    request = pb.DescribeTaskDefinitionRequest(task_definition=name, include=["TAGS"])
    answer = await session.client.cluster.DescribeTaskDefinition(request)
    described = awsjson.to_document(answer.task_definition)
    document = {key: value for key, value in described.items() if key not in image_definition.READ_ONLY}
    changed = changed_document(document, images)
    if changed == document:
        return f"{answer.task_definition.family}:{answer.task_definition.revision}"
    registration, _ = awsjson.to_message(changed, pb.RegisterTaskDefinitionRequest)
    return await image_definition.definition_for(session, registration, answer.tags)


def changed_document(document: Mapping[str, Any], images: Sequence[str]) -> dict[str, Any]:
    """Raises Failed where it is not clear whose image one is."""
    containers = [dict(each) for each in document["containerDefinitions"]]
    for words in images:
        container, image = _whose(containers, words)
        container["image"] = image
    return {**document, "containerDefinitions": containers}


def _whose(containers: Sequence[dict[str, Any]], words: str) -> tuple[dict[str, Any], str]:
    """The container, and its image. Without a name: the only one, or the only one of that repository."""
    name, named, image = words.rpartition("=")
    known = text.sentence_list(each["name"] for each in containers)
    if not image:
        raise Failed(f"{words!r} names no image.", "--image repository:tag, or --image CONTAINER=repository:tag")
    if named:
        found = [each for each in containers if each["name"] == name]
        if not found:
            raise Failed(f"The task definition has no container {name!r}; it has {known}.", exit_code=NOT_FOUND)
    else:
        same = [each for each in containers if split(each["image"])[0] == split(image)[0]]
        found = same if len(containers) > 1 else list(containers)
    if len(found) != 1:
        which = f"{len(found)} containers run {split(image)[0]}" if found else f"no container runs {split(image)[0]}"
        raise Failed(f"Whose image {image} is, is not clear: {which}.", f"--image CONTAINER={image}, one of {known}")
    return found[0], image
