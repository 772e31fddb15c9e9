"""Why nobody speaks to the image registry at an address, as an error of ours. Pure."""

import ssl

from shoal import errors


def unreachable(address: str, error: Exception) -> errors.Unreachable:
    """`error`: what connecting, sending or reading raised, by the standard library or by aiohttp."""
    # As aiohttp wraps them.
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return errors.Unreachable(
            f"The certificate of {address} is not one that this context's authority signed for it: "
            f"{(cause.verify_message or str(cause)).rstrip('.')}.",
            "shoal context show",
        )
    if isinstance(cause, ssl.SSLError):
        return errors.Unreachable(
            f"{address} does not speak TLS as this program does: {cause.reason or cause}.", "shoal context show"
        )
    return errors.Unreachable(f"The registry at {address} cannot be reached: {error}.", "shoal doctor")
