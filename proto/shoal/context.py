"""Which cluster a client speaks to, and as whom: the context file.

    {"current": "default",
     "contexts": {"default": {"endpoints": ["127.0.0.1:7600"], "cluster": "default",
                              "authority": "/…/authority.crt",
                              "certificate": "/…/operator.crt", "key": "/…/operator.key",
                              "registry": "127.0.0.1:7680"}}}

It lies at $SHOAL_CONFIG, or at ~/.config/shoal/contexts.json. `shoal up` writes it; any client can read it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from shoal.errors import NoContext


@dataclass(frozen=True, slots=True)
class Context:
    """endpoints: host:port of every scheduler of the cluster. authority, certificate, key: PEM files.

    registry: host:port of the cluster's image registry, as images name it; None if there is none.
    """

    name: str
    endpoints: tuple[str, ...]
    cluster: str
    authority: Path
    certificate: Path
    key: Path
    registry: str | None = None

    def document(self) -> dict[str, Any]:
        """As in the file."""
        fields = asdict(self)
        del fields["name"]
        words = {name: str(value) for name, value in fields.items() if value is not None}
        return {**words, "endpoints": list(self.endpoints)}

    @classmethod
    def parse(cls, name: str, document: Mapping[str, Any]) -> "Context":
        """Raises NoContext, naming the field that is missing or has the wrong shape."""
        try:
            endpoints = document["endpoints"]
            if not isinstance(endpoints, list) or not endpoints:
                raise NoContext(f"Context {name!r} has no endpoints.", "Give it a list of host:port.")
            registry = document.get("registry")
            return cls(
                name,
                tuple(str(endpoint) for endpoint in endpoints),
                str(document["cluster"]),
                Path(document["authority"]),
                Path(document["certificate"]),
                Path(document["key"]),
                None if registry is None else str(registry),
            )
        except (KeyError, TypeError) as error:
            raise NoContext(f"Context {name!r} is not usable: {error} is missing.", _HINT) from None


@dataclass(frozen=True, slots=True)
class Contexts:
    """The whole file, as a value."""

    path: Path
    current: str | None = None
    contexts: Mapping[str, Context] = field(default_factory=dict)

    def choose(self, name: str | None = None) -> Context:
        """That context, else the one of $SHOAL_CONTEXT, else the current one. Raises NoContext."""
        wanted = name or os.environ.get("SHOAL_CONTEXT") or self.current
        if wanted is None:
            raise NoContext(f"No cluster is known: {self.path} names none.", _HINT)
        if wanted not in self.contexts:
            raise NoContext(f"There is no context {wanted!r} in {self.path}.", "shoal context list")
        return self.contexts[wanted]

    def using(self, name: str) -> "Contexts":
        self.choose(name)
        return replace(self, current=name)

    def with_context(self, context: Context) -> "Contexts":
        """With that context added or replaced, and current."""
        return replace(self, contexts={**self.contexts, context.name: context}, current=context.name)

    def without(self, name: str) -> "Contexts":
        left = {key: value for key, value in self.contexts.items() if key != name}
        current = self.current if self.current in left else next(iter(sorted(left)), None)
        return replace(self, contexts=left, current=current)


_HINT = "Start one on this machine with `shoal up`, or point $SHOAL_CONFIG at a context file."


def config_path() -> Path:
    named = os.environ.get("SHOAL_CONFIG")
    return Path(named) if named else Path.home() / ".config" / "shoal" / "contexts.json"


def load(path: Path | None = None) -> Contexts:
    """The context file; empty if there is none. Raises NoContext if it cannot be understood."""
    path = path or config_path()
    try:
        document = json.loads(path.read_text())
        contexts = {name: Context.parse(name, entry) for name, entry in document["contexts"].items()}
    except FileNotFoundError:
        return Contexts(path)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoContext(f"{path} is not a context file: {error}", "Mend it, or remove it and run `shoal up`.") from None
    return Contexts(path, document.get("current"), contexts)


def save(contexts: Contexts) -> None:
    """Whole or not at all, readable by its owner only."""
    document = {
        "current": contexts.current,
        "contexts": {name: context.document() for name, context in sorted(contexts.contexts.items())},
    }
    contexts.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = contexts.path.with_name(f"{contexts.path.name}.{os.getpid()}.new")
    beside.write_text(json.dumps(document, indent=2) + "\n")
    beside.chmod(0o600)
    beside.replace(contexts.path)
