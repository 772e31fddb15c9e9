"""Whatever the text, `loads` answers within bounds and says where the trouble is."""

import time

import pytest
from shoal.awsjson import BadDocument, loads

REFUSED = [
    ("empty", b"", "", "empty"),
    ("blank", b" \n\t", "", "empty"),
    ("byte order mark", b"\xef\xbb\xbf{}", "", "byte order mark"),
    ("UTF-16", '{"a": 1}'.encode("utf-16"), "", "UTF-16"),
    ("UTF-16 without mark", '{"a": 1}'.encode("utf-16-le"), "", "UTF-16"),
    ("not UTF-8", b'{\n"a": "\xff"}', "", "line 2 has the byte 0xff"),
    ("raw surrogate", '{"a": "\ud800"}', "", "not UTF-8"),
    ("too large", b'"' + b"x" * 1024 * 1024 + b'"', "", "larger than 1024 KiB"),
    ("deep lists", b"[" * 100_000, "", "deeper than 64"),
    ("deep objects", b'{"a":' * 100_000, "", "deeper than 64"),
    ("too deep by one", b"[" * 65 + b"]" * 65, "", "deeper than 64"),
    ("many values", b"[" + b"0," * 300_000 + b"0]", "", "more than 100000 values"),
    ("many empty lists", b"[" + b"[]," * 340_000 + b"[]]", "", "more than 100000 values"),
    ("endless string", b'"' + b'\\"' * 500_000, "", "not JSON"),
    ("comma", b'{"a": 1,}', "", "line 1 column"),
    ("two documents", b"{} {}", "", "Extra data"),
    ("comment", b'{\n// note\n"a": 1}', "", "line 2 column 1"),
    ("single quotes", b"{'a': 1}", "", "line 1 column 2"),
    ("control character", b'{"a": "x\ny"}', "", "control character"),
    ("twice", b'{"b": [{"memory": 1, "memory": 2}]}', "b[0].memory", "given twice"),
    ("NaN", b'{"a": {"cpu": NaN}}', "a.cpu", "NaN is not JSON"),
    ("infinite", b'{"cpu": -Infinity}', "cpu", "-Infinity is not JSON"),
    ("too big a fraction", b'[{"x": 1e999}]', "[0].x", "1e999 is out of range"),
    ("endless fraction", b'{"x": 0.' + b"1" * 900_000 + b"}", "x", "out of range"),
    ("10,000 digits", b'{"n": ' + b"9" * 10_000 + b"}", "n", "10000 digits"),
    ("half a pair", b'{"e": [{"value": "\\ud83d"}]}', "e[0].value", "surrogate"),
    ("half a pair in a key", b'{"\\udc00": 1}', '["\\udc00"]', "surrogate"),
]


@pytest.mark.parametrize(("text", "field", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(text: bytes | str, field: str, message: str) -> None:
    started = time.process_time()
    with pytest.raises(BadDocument) as refused:
        loads(text)
    seconds = time.process_time() - started
    assert refused.value.problems[0].field == field
    assert message in refused.value.problems[0].message
    assert seconds < 0.1
    assert len(str(refused.value)) < 400


def test_every_refused_value_is_named() -> None:
    with pytest.raises(BadDocument) as refused:
        loads(b'{"a": NaN, "b": {"c": 1, "c": 2}, "d": [1e999]}')
    assert [problem.field for problem in refused.value.problems] == ["a", "b.c", "d[0]"]


def test_taken_as_it_stands() -> None:
    text = '{"a": [0, -0, 0.5, true, null, "", "\\ud83d\\ude00 \\u00e9", 9223372036854775807], "b": {}}'
    assert loads(text) == {"a": [0, 0, 0.5, True, None, "", "😀 é", 2**63 - 1], "b": {}}
    assert loads(text.encode()) == loads(text)


def test_brackets_and_commas_inside_strings_do_not_count() -> None:
    text = '{"csv": "' + "[{,\\\\" * 100_000 + '"}'
    assert loads(text) == {"csv": "[{,\\" * 100_000}


def test_as_deep_as_allowed() -> None:
    document = loads("[" * 64 + "]" * 64)
    assert isinstance(document, list)
