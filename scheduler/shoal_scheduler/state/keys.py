"""The layout of the store. Every key names its cluster and its owner.

/shoal.base                                               added to etcd's revisions, since a restore; see `restored`
/shoal/leader                                             who leads; its create_revision is the epoch
/shoal/step                                               id of the last step that was committed
/shoal/-/<owner>/definitions/<family>/<revision>          an account's, not a cluster's
/shoal/-/<owner>/clusters/<name>
/shoal/-/<owner>/alarms/<name>
/shoal/-/<owner>/job-definitions/<name>/<revision>
/shoal/-/<owner>/job-queues/<name>
/shoal/-/<owner>/compute-environments/<name>
/shoal/-/<owner>/consumable-resources/<name>
/shoal/-/<owner>/jobs/<job>
/shoal/-/<owner>/job-states/<job>                         how far it is, once there is something to say
/shoal/-/<owner>/job-chunks/<job>/<chunk>                 what became of up to 256 of its children
/shoal/<cluster>/<owner>/instances/<instance>
/shoal/<cluster>/<owner>/tokens/<hash>                    by which hosts join
/shoal/<cluster>/<owner>/launches/<launch>                what the tasks of a submission share
/shoal/<cluster>/<owner>/tasks/<launch>/<chunk>           up to 256 tasks of it
/shoal/<cluster>/<owner>/usage/<month>/<group>            what its tasks used, once they ended
/shoal/<cluster>/<owner>/<kind>/<names>                   services and what belongs to them: see `state.records`
"""

from urllib.parse import quote, unquote

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


def job_definition(name: str, revision: int) -> bytes:
    return f"{ROOT}-/{OWNER}/job-definitions/{name}/{revision:08d}".encode()


def job_queue(name: str) -> bytes:
    return f"{ROOT}-/{OWNER}/job-queues/{name}".encode()


def compute_environment(name: str) -> bytes:
    return f"{ROOT}-/{OWNER}/compute-environments/{name}".encode()


def consumable_resource(name: str) -> bytes:
    return f"{ROOT}-/{OWNER}/consumable-resources/{name}".encode()


def job(job_id: str) -> bytes:
    return f"{ROOT}-/{OWNER}/jobs/{job_id}".encode()


def job_state(job_id: str) -> bytes:
    return f"{ROOT}-/{OWNER}/job-states/{job_id}".encode()


def job_chunk(job_id: str, number: int) -> bytes:
    return f"{ROOT}-/{OWNER}/job-chunks/{job_id}/{number:04x}".encode()


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


def record(word: str, names: tuple[str, ...]) -> bytes:
    """The first name is the cluster. Names may have any characters."""
    return "/".join([f"{ROOT}{names[0]}/{OWNER}/{word}", *(quote(name, safe="") for name in names[1:])]).encode()


def record_key(key: bytes) -> tuple[str, ...]:
    """The inverse."""
    return cluster_of(key), *map(unquote, parts(key))


def kind(key: bytes) -> str:
    """What follows the owner, as in the list above; "" for the two keys of leadership."""
    parts = key.decode().split("/")
    return parts[4] if len(parts) > 5 else ""


def cluster_of(key: bytes) -> str:
    return key.decode().split("/")[2]


def parts(key: bytes) -> list[str]:
    """What follows the kind: the name of a cluster or an instance, family and revision, launch and chunk,
    month and group, hash of a token."""
    return key.decode().split("/")[5:]
