import time

import pytest
from shoal_scheduler.api.validate_image import image_problems

DIGEST = "sha256:" + "0a" * 32

GOOD = [
    *["nginx", "nginx:latest", "danriti/gunicorn-flask", "library/nginx:1.27-alpine", "a__b/c-d.e", "a--b"],
    *["localhost/app", "localhost:5000/app:1", "registry.example/team/app", "registry:5000/app", "10.0.0.1:5000/a"],
    *[f"nginx@{DIGEST}", f"registry.example:443/a/b:1@{DIGEST}", "[2001:db8::1]:5000/app:1", "Registry.Example/app"],
    *["111122223333.dkr.ecr.eu-north-1.amazonaws.com/app:1", "x" * 255, "app:" + "t" * 128, "app:_v1", "app:V1.0-rc"],
]
BAD = [
    ("", "required"),
    (" ", "not an image"),
    ("../x", "not an image"),
    ("./x", "not an image"),
    ("/x", "not an image"),
    ("x/", "not an image"),
    ("a//b", "not an image"),
    ("a/../b", "not an image"),
    ("nginx latest", "not an image"),
    ("nginx\n", "not an image"),
    ("-x", "not an image"),
    ("x-", "not an image"),
    ("a___b", "not an image"),
    ("ngínx", "not an image"),
    ("<IMAGE1_NAME>", "not an image"),
    ("${IMAGE}", "not an image"),
    ("$(touch /tmp/x)", "not an image"),
    ("Nginx", 'write "nginx"'),
    ("team/App:1", 'write "team/app"'),
    ("nginx:", "the tag"),
    ("nginx:-1", "the tag"),
    ("nginx:a b", "the tag"),
    ("nginx:" + "t" * 129, "the tag"),
    ("a@sha256:short", "64 hexadecimal digits"),
    ("a@", "64 hexadecimal digits"),
    ("a@sha256:" + "A" * 64, "lower case"),
    ("a@sha256:" + "0" * 63, "64 hexadecimal digits"),
    ("a@sha256:" + "0" * 65, "64 hexadecimal digits"),
    ("a@md5:" + "0" * 32, "64 hexadecimal digits"),
    (f"a@{DIGEST}@{DIGEST}", "64 hexadecimal digits"),
    ("registry:99999/x", "between 1 and 65535"),
    ("registry:0/x", "between 1 and 65535"),
    ("registry:/x", "between 1 and 65535"),
    ("registry:８０/x", "between 1 and 65535"),
    ("regi_stry.example/x", "host name"),
    ("-registry.example/x", "host name"),
    ("https://registry.example/x", "leave out"),
    ("x" * 256, "at most 255"),
    ("a" * 10_240, "at most 255"),
    ("a/" * 5_120, "at most 255"),
    ("x@" + "0" * 100_000, "64 hexadecimal digits"),
]


@pytest.mark.parametrize("image", GOOD)
def test_good(image: str) -> None:
    assert list(image_problems("image", image)) == []


@pytest.mark.parametrize(("image", "message"), BAD, ids=[image[:20] for image, _ in BAD])
def test_bad(image: str, message: str) -> None:
    started = time.process_time()
    (problem,) = image_problems("image", image)
    assert time.process_time() - started < 0.1
    assert message in problem.message
    assert problem.message.isascii()
    assert len(problem.message) < 300


def test_absent() -> None:
    assert [problem.field for problem in image_problems("image", None)] == ["image"]
