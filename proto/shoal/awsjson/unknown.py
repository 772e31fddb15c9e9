"""What to say of a field nobody knows: most are typing errors."""

import re
from collections.abc import Collection
from difflib import get_close_matches

_KEY_CHARACTERS_MAX = 48


def unknown_field(key: str, known: Collection[str], *, ignored: bool) -> str:
    """The sentence for an unknown field, with the known one that was probably meant."""
    meant = _probably_meant(key, known)
    hint = "" if meant is None else f'; did you mean "{meant}"?'
    return ("unknown field, ignored" if ignored else "unknown field") + hint


def _probably_meant(key: str, known: Collection[str]) -> str | None:
    """The same letters first (container_definitions, ContainerDefinitions), then the nearest."""
    letters = _letters(key)
    for name in known:
        if _letters(name) == letters:
            return name
    if len(key) > _KEY_CHARACTERS_MAX:
        return None
    return next(iter(get_close_matches(key, known, n=1, cutoff=0.6)), None)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name[: 2 * _KEY_CHARACTERS_MAX].lower())
