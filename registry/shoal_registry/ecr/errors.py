"""What the API refuses, by the names of ECR's exceptions."""

from typing import Literal

from shoal_registry.errors import Code, Refused

Kind = Literal[
    "AccessDeniedException",
    "ImageAlreadyExistsException",
    "ImageDigestDoesNotMatchException",
    "ImageNotFoundException",
    "ImageStorageClassUpdateNotSupportedException",
    "ImageTagAlreadyExistsException",
    "InvalidParameterException",
    "InvalidTagParameterException",
    "LayerInaccessibleException",
    "LayersNotFoundException",
    "LifecyclePolicyNotFoundException",
    "LifecyclePolicyPreviewNotFoundException",
    "LimitExceededException",
    "ReferencedImagesNotFoundException",
    "RepositoryAlreadyExistsException",
    "RepositoryNotEmptyException",
    "RepositoryNotFoundException",
    "RepositoryPolicyNotFoundException",
    "ServerException",
    "TemplateAlreadyExistsException",
    "TemplateNotFoundException",
    "TooManyTagsException",
    "UnknownOperationException",
    "ValidationException",
]

# What the specification calls a refusal, and what ECR does.
_KINDS: dict[Code, Kind] = {
    "DENIED": "AccessDeniedException",
    "UNAUTHORIZED": "AccessDeniedException",
    "BLOB_UNKNOWN": "LayersNotFoundException",
    "MANIFEST_BLOB_UNKNOWN": "LayersNotFoundException",
    "MANIFEST_UNKNOWN": "ImageNotFoundException",
    "NAME_UNKNOWN": "RepositoryNotFoundException",
    "INTERNAL": "ServerException",
    "INSUFFICIENT_STORAGE": "ServerException",
    "UNAVAILABLE": "ServerException",
}


class Failed(Exception):  # noqa: N818  a refusal is an answer, not a fault of the program
    """Answered with status 400."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


def of_refusal(refused: Refused) -> Failed:
    return Failed(_KINDS.get(refused.code, "InvalidParameterException"), refused.message)
