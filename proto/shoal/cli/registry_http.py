"""What this command line says to an image registry: by HTTPS, with the context's certificate or an account's secret."""

import base64
import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal import errors
from shoal.cli.registry_reach import reach
from shoal.registry_unreachable import unreachable

TIMEOUT_SECONDS = 30.0
_BY_STATUS: Mapping[int, type[errors.ShoalError]] = {
    400: errors.InvalidInput,
    401: errors.Denied,
    403: errors.Denied,
    404: errors.NotFound,
    409: errors.Conflict,
    429: errors.LimitExceeded,
}


@dataclass(frozen=True, slots=True)
class Registry:
    """`address` is host:port, `authority` a PEM file. `tls` has the certificate of the context."""

    address: str
    authority: Path
    tls: ssl.SSLContext

    def call(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """As whom the certificate names. Raises the errors of shoal.errors."""
        return self._ask(self.tls, method, path, document, {})

    def check(self, account: str, secret: str) -> None:
        """Raises Denied if that is not the account's secret, and the other errors of shoal.errors."""
        given = base64.b64encode(f"{account}:{secret}".encode()).decode()
        nobody = ssl.create_default_context(cafile=str(self.authority))
        self._ask(nobody, "GET", "/token", None, {"Authorization": f"Basic {given}"})

    def _ask(
        self,
        tls: ssl.SSLContext,
        method: str,
        path: str,
        document: Mapping[str, Any] | None,
        headers: Mapping[str, str],
    ) -> dict[str, Any]:
        connection = http.client.HTTPSConnection(self.address, timeout=TIMEOUT_SECONDS, context=tls)
        try:
            connection.request(method, path, None if document is None else json.dumps(document), dict(headers))
            answer = connection.getresponse()
            said = json.loads(answer.read() or b"{}")
        # Before ValueError, which a certificate's is, too.
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(self.address, error) from None
        except ValueError:
            raise errors.ServerFault(f"What answers at {self.address} is not an image registry of shoal.") from None
        finally:
            connection.close()
        if answer.status >= 400:
            raise _failure(answer.status, said)
        return dict(said)


def chosen(registry: str | None) -> Registry:
    """The context's, or that one. Raises NoContext, OSError."""
    reached = reach(registry)
    return Registry(reached.registry, reached.context.authority, reached.tls)


def _failure(status: int, said: Any) -> errors.ShoalError:
    kind = _BY_STATUS.get(status, errors.ServerFault)
    if isinstance(said, dict) and said.get("errors"):
        first = said["errors"][0]
        return kind(str(first.get("message", "")), reason=str(first.get("code", "")))
    message = said.get("message", "") if isinstance(said, dict) else ""
    return kind(str(message) or f"The registry answered with status {status}.")
