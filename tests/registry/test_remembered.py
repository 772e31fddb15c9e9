"""What is remembered of manifests: for a moment, and never more than has room."""

from shoal_registry import remembered
from shoal_registry.names import Digest
from shoal_registry.remembered import Remembered

MIB = 1024 * 1024


def test_only_what_the_store_had_a_moment_ago() -> None:
    now = 0.0
    known, digest = Remembered(lambda: now), Digest.of(b"a")
    assert known.get(digest) is None
    known.add(digest, b"a")
    now = remembered.FRESH_SECONDS
    assert known.get(digest) == b"a"
    now += 0.1
    assert known.get(digest) is None
    known.add(digest, b"a")
    assert known.get(digest) == b"a"


def test_those_that_were_used_last_stay() -> None:
    known = Remembered(lambda: 0.0)
    contents = [bytes([number]) * 4 * MIB for number in range(6)]
    digests = [Digest("sha256", f"{number:064x}") for number in range(6)]
    for digest, content in zip(digests[:4], contents, strict=False):
        known.add(digest, content)
    known.add(digests[3], contents[3])
    assert known.get(digests[0]) == contents[0]
    known.add(digests[4], contents[4])
    known.add(digests[5], contents[5])
    assert [known.get(digest) is not None for digest in digests] == [True, False, False, True, True, True]
