"""`nextToken`: where a page ended. It says so in plain words, and whoever changes it is told."""

import re

from shoal_registry.ecr.errors import Failed

_DIGEST = r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})"
DIGEST = re.compile(_DIGEST)
IMAGE_ID = re.compile(rf"{_DIGEST} [a-zA-Z0-9._-]{{0,128}}")
REFERRER = re.compile(r"sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128}")
NAME = re.compile(r"[a-z0-9._/-]{1,255}|ROOT")
EVENT = re.compile(r"[0-9]{15}-[0-9]{1,9}-[0-9a-f]{8}/[0-9]{1,9}")


def begin(token: str | None, form: re.Pattern[str]) -> str:
    """Behind which the page begins; empty for the first. Raises Failed."""
    if token and not form.fullmatch(token):
        raise Failed(
            "InvalidParameterException",
            f"nextToken: {token[:100]!r} is none that this operation answered: begin again without one",
        )
    return token or ""
