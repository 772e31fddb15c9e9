"""The layout of the store. Every key names its cluster and its owner.

/shoal.base                                               added to etcd's revisions, since a restore; see `restored`
/shoal/leader                                             who leads; its create_revision is the epoch
/shoal/step                                               id of the last step that was committed
/shoal/-/<owner>/definitions/<family>/<revision>          an account's, not a cluster's
/shoal/-/<owner>/clusters/<name>
/shoal/-/<owner>/alarms/<name>
/shoal/<cluster>/<owner>/instances/<instance>
/shoal/<cluster>/<owner>/tokens/<hash>                    by which hosts join
/shoal/<cluster>/<owner>/launches/<launch>                what the tasks of a submission share
/shoal/<cluster>/<owner>/tasks/<launch>/<chunk>           up to 256 tasks of it
/shoal/<cluster>/<owner>/usage/<month>/<group>            what its tasks used, once they ended
"""

from shoal.arn import OWNER

ROOT = "/shoal/"
LEADER = b"/shoal/leader"
STEP = b"/shoal/step"
# Not among the records: it is written once, before any scheduler reads them.
BASE = b"/shoal.base"

TASKS_PER_CHUNK = 256


def definition(family: str, revision: int) -> bytes:
    return f"{ROOT}-/{OWNER}/definitions/{family}/{revision:08d}".encode()


def cluster(name: str) -> bytes:
    return f"{ROOT}-/{OWNER}/clusters/{name}".encode()


def alarm(name: str) -> bytes:
    return f"{ROOT}-/{OWNER}/alarms/{name}".encode()


def instance(cluster_name: str, instance_id: str) -> bytes:
    return f"{ROOT}{cluster_name}/{OWNER}/instances/{instance_id}".encode()


def join_token(cluster_name: str, token_hash: str) -> bytes:
    return f"{ROOT}{cluster_name}/{OWNER}/tokens/{token_hash}".encode()


def launch(cluster_name: str, launch_id: str) -> bytes:
    return f"{ROOT}{cluster_name}/{OWNER}/launches/{launch_id}".encode()


def chunk(cluster_name: str, launch_id: str, number: int) -> bytes:
    return f"{ROOT}{cluster_name}/{OWNER}/tasks/{launch_id}/{number:04x}".encode()


def usage(cluster_name: str, month: str, group: str) -> bytes:
    return f"{ROOT}{cluster_name}/{OWNER}/usage/{month}/{group}".encode()


def kind(key: bytes) -> str:
    """definitions, clusters, alarms, instances, tokens, launches, tasks or usage; "" for the two keys of leadership."""
    parts = key.decode().split("/")
    return parts[4] if len(parts) > 5 else ""


def cluster_of(key: bytes) -> str:
    return key.decode().split("/")[2]


def parts(key: bytes) -> list[str]:
    """What follows the kind: the name of a cluster or an instance, family and revision, launch and chunk,
    month and group, hash of a token."""
    return key.decode().split("/")[5:]
