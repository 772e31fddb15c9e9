"""Which command was meant by a word that is none. Pure."""

import difflib
from collections.abc import Collection

# The same in the words of aws, docker and kubectl; the first that a group has is meant.
_SYNONYMS = (
    ("ls", "list"),
    ("rm", "delete", "remove"),
    ("describe", "show", "get", "inspect"),
    ("put", "create", "add"),
)


def nearest_command(word: str, commands: Collection[str]) -> str | None:
    """
    >>> nearest_command("remove", ["create", "delete", "ls"])
    'delete'
    >>> nearest_command("lst", ["create", "delete", "ls"])
    'ls'
    >>> nearest_command("xyzzy", ["create", "delete", "ls"])
    """
    same = next((group for group in _SYNONYMS if word in group), ())
    found = [each for each in same if each in commands] or difflib.get_close_matches(word, commands, n=1, cutoff=0.6)
    return found[0] if found else None
