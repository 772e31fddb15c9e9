"""Small task definitions to break in one place at a time."""

from typing import Any

Document = dict[str, Any]

CONTAINER: Document = {"name": "app", "image": "nginx", "memory": 64}


def definition(*containers: Document, **fields: Any) -> Document:
    """A definition that can be registered, but for what is given. One plain container if none is given."""
    return {"family": "web", "containerDefinitions": list(containers) or [CONTAINER], **fields}


def container(**fields: Any) -> Document:
    return {**CONTAINER, **fields}


def of_container(**fields: Any) -> Document:
    """A definition whose only container has these fields as well."""
    return definition(container(**fields))
