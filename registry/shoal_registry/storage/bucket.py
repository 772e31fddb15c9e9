"""Where a store is in an S3 store, named as in s3://bucket/prefix."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Bucket:
    """Credentials are taken from the environment, or from the instance. An empty endpoint is Amazon's own.

    `authority`: PEM file of who signed the endpoint's certificate, if the system does not know it.
    """

    name: str
    prefix: str
    endpoint: str = ""
    region: str = ""
    authority: Path | None = None

    def __str__(self) -> str:
        return f"s3://{self.name}/{self.prefix}"
