"""What every refused call has to be: a code, a reason, the fields, and one sentence for people."""

from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from shoal.errors import ShoalError, from_rpc

# A terminal, a log and an HTTP/2 header all have to take it.
METADATA_BYTES_MAX = 8 * 1024


async def refused(call: Awaitable[Any]) -> ShoalError:
    """The typed error of a call that must fail, checked for what all of them owe."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = from_rpc(caught.value)
    metadata = caught.value.trailing_metadata() or ()
    size_bytes = sum(len(key) + len(value) for key, value in metadata) + len((caught.value.details() or "").encode())
    assert size_bytes < METADATA_BYTES_MAX
    assert error.message.strip()
    for text in (error.message, *(problem.message for problem in error.problems)):
        assert text.isprintable()
        assert "Traceback" not in text and 'File "' not in text
    return error


async def refused_with(call: Awaitable[Any], code: grpc.StatusCode, reason: str, field: str = "") -> ShoalError:
    """As `refused`, with this code, this reason and, if any, a problem of this field."""
    error = await refused(call)
    assert (error.code, error.reason) == (code.name, reason), error.message
    if field:
        assert field in [problem.field for problem in error.problems], error.problems
    return error
