"""Names with `*` in them, which stands for any characters, slashes too, as in ECR's policies. Pure."""

import fnmatch
import re
from dataclasses import dataclass
from functools import lru_cache

from shoal_registry.errors import Refused

CHARACTERS_MAX = 255
_PATTERN = re.compile(r"[a-z0-9._/*-]+")


@dataclass(frozen=True, slots=True)
class Pattern:
    """Of repositories: `team/*`, `*/base`, `*`."""

    text: str

    @classmethod
    def parse(cls, text: object) -> "Pattern":
        """Raises Refused."""
        if not isinstance(text, str) or len(text) > CHARACTERS_MAX or not _PATTERN.fullmatch(text):
            raise Refused(
                "NAME_INVALID",
                f"{str(text)[:200]!r} is no pattern of repositories' names: write a name, with * for any characters, "
                "as in team/*.",
            )
        return cls(text)

    def matches(self, name: str) -> bool:
        return matches(self.text, name)


def matches(pattern: str, text: str) -> bool:
    """`pattern` has no other wildcards than `*`."""
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    # The library's translation never tries a text twice, whatever number of stars there is.
    return re.compile(fnmatch.translate(pattern))
