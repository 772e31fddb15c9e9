"""Environment variables from files of the instance, below the folders that its operator has listed.

    {"type": "file", "value": "file:///srv/environment/web.env"}    ours; ECS's is s3, and there is no object store yet

The form is ECS's: a line is NAME=VALUE, taken as it stands, or empty, or begins with #. Of a name in several files the
first counts; what the definition itself sets counts more than any file.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any

from shoal_agent.definition.mounts import path_below
from shoal_agent.definition.refusal import Refused

SCHEME = "file://"
FILE_BYTES_MAX = 1024 * 1024

Document = Mapping[str, Any]


def file_variables(files: Sequence[Document], folders: Sequence[str]) -> dict[str, str]:
    """All of them, by name. Reads the files; raises Refused for one that may not be read or cannot be understood."""
    variables: dict[str, str] = {}
    for position, file in enumerate(files):
        at = f"environmentFiles[{position}]"
        if file.get("type") != "file":
            raise Refused(f"{at}.type", f"{file.get('type')} files cannot be fetched yet; write type file")
        value = file.get("value") or ""
        if not value.startswith(SCHEME):
            raise Refused(f"{at}.value", f"must be a file of the instance as {SCHEME}/srv/web.env, not {value!r}")
        path = path_below(f"{at}.value", value.removeprefix(SCHEME), folders, "environment_file_folders")
        for name, text in parse(f"{at}.value", _read(f"{at}.value", path)).items():
            variables.setdefault(name, text)
    return variables


def parse(at: str, text: str) -> dict[str, str]:
    """The variables of one file, `at` in the definition. Pure. Raises Refused, which tells the line."""
    variables: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name or "\0" in line:
            why = f"line {number} is not NAME=VALUE; write it so, or as a comment that begins with #"
            raise Refused(at, why, lacking=True)
        variables.setdefault(name, value)
    return variables


def _read(at: str, path: str) -> str:
    """Only a plain file of that very path: a pipe would hold the agent up, a link made since could lead elsewhere."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise Refused(at, f"{path} is not a plain file", lacking=True)
            with os.fdopen(handle, "rb", closefd=False) as file:
                content = file.read(FILE_BYTES_MAX + 1)
        finally:
            os.close(handle)
    except OSError as error:
        raise Refused(at, f"{path} cannot be read on this instance: {error.strerror}", lacking=True) from None
    if len(content) > FILE_BYTES_MAX:
        raise Refused(at, f"{path} has more than {FILE_BYTES_MAX // 1024} KiB", lacking=True)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Refused(at, f"{path} is not UTF-8", lacking=True) from None
