"""What the registry refuses, in the codes of the specification ("Error Codes"), and which status each has."""

from collections.abc import Mapping
from typing import Literal

Code = Literal[
    "ACCOUNT_EXISTS",
    "ACCOUNT_INVALID",
    "ACCOUNT_UNKNOWN",
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DENIED",
    "DIGEST_INVALID",
    "INSUFFICIENT_STORAGE",
    "INTERNAL",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "PAGINATION_NUMBER_INVALID",
    "RANGE_INVALID",
    "SIZE_INVALID",
    "TAG_INVALID",
    "TOOMANYREQUESTS",
    "UNAUTHORIZED",
    "UNAVAILABLE",
    "UNSUPPORTED",
]

STATUSES: Mapping[Code, int] = {
    "ACCOUNT_EXISTS": 409,
    "ACCOUNT_INVALID": 400,
    "ACCOUNT_UNKNOWN": 404,
    "BLOB_UNKNOWN": 404,
    "BLOB_UPLOAD_INVALID": 400,
    "BLOB_UPLOAD_UNKNOWN": 404,
    "DENIED": 403,
    "DIGEST_INVALID": 400,
    "INSUFFICIENT_STORAGE": 507,
    "INTERNAL": 500,
    "MANIFEST_BLOB_UNKNOWN": 400,
    "MANIFEST_INVALID": 400,
    "MANIFEST_UNKNOWN": 404,
    "NAME_INVALID": 400,
    "NAME_UNKNOWN": 404,
    "PAGINATION_NUMBER_INVALID": 400,
    "RANGE_INVALID": 416,
    "SIZE_INVALID": 400,
    "TAG_INVALID": 400,
    "TOOMANYREQUESTS": 429,
    "UNAUTHORIZED": 401,
    "UNAVAILABLE": 503,
    "UNSUPPORTED": 405,
}


class Refused(Exception):  # noqa: N818  a refusal is an answer, not a fault of the program
    """Answered as it stands. `status` where the code's own does not fit; `detail` is JSON for programs."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        status: int | None = None,
        detail: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or STATUSES[code]
        self.detail = detail
        self.headers = dict(headers or {})

    def document(self) -> dict[str, object]:
        """As the specification has it."""
        error: dict[str, object] = {"code": self.code, "message": self.message}
        if self.detail is not None:
            error["detail"] = self.detail
        return {"errors": [error]}
