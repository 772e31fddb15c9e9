"""How often somebody may try to log in and fail. Pure, the clock is an argument."""

from ipaddress import IPv6Address, ip_address, ip_network

from shoal.rate_limit import RateLimit, TokenBucket

PER_MINUTE = 5
RETRY_AFTER_SECONDS = 60 // PER_MINUTE
# From one address, whatever accounts it tries.
PER_MINUTE_OF_ADDRESS = 60
REMEMBERED_MAX = 10_000


def origin(address: str) -> str:
    """Whose address it is: of IPv6, somebody has 2**64 of them.

    >>> origin("10.0.0.1"), origin("2001:db8::1:2:3:4"), origin("::ffff:10.0.0.1"), origin("")
    ('10.0.0.1', '2001:db8::/64', '10.0.0.1', '')
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))
    return str(parsed)


class Attempts:
    """Addresses are those that `origin` gives."""

    def __init__(self) -> None:
        self._addresses = RateLimit(PER_MINUTE_OF_ADDRESS / 60, PER_MINUTE_OF_ADDRESS, REMEMBERED_MAX)
        self._accounts = RateLimit(PER_MINUTE / 60, PER_MINUTE, REMEMBERED_MAX)

    def begin(self, account: str, address: str, now: float) -> bool:
        """Whether one more may be made. It counts as failed until `succeeded` says otherwise."""
        of_address = self._addresses.bucket(address, now)
        # No account is looked at before: its bucket would push out another's.
        if not of_address.take(now):
            return False
        if self._of_account(account, address, now).take(now):
            return True
        of_address.give_back()
        return False

    def succeeded(self, account: str, address: str, now: float) -> None:
        self._addresses.bucket(address, now).give_back()
        self._of_account(account, address, now).give_back()

    def _of_account(self, account: str, address: str, now: float) -> TokenBucket:
        return self._accounts.bucket(f"{account} {address}", now)
