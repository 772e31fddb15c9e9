"""Reads what lies in a bucket of a bbolt file, which is what etcd keeps its data in and what a snapshot of it is.

The format: https://github.com/etcd-io/bbolt. A file of pages; two of them, in turns, say where the tree begins; a
tree of branch and leaf pages holds sorted keys; the value of a bucket is where its own tree begins. Numbers are those
of the machine that wrote it, little-endian wherever etcd runs.
"""

import struct
from collections.abc import Iterator

_PAGE = struct.Struct("<QHHI")  # id, flags, elements, further pages
_META = struct.Struct("<IIIIQQQQQ")  # magic, version, page size, flags, root, sequence, free list, pages, transaction
_BRANCH_ELEMENT = struct.Struct("<IIQ")  # where the key lies, its size, page
_LEAF_ELEMENT = struct.Struct("<IIII")  # flags, where the key lies, sizes of key and value
_BUCKET = struct.Struct("<QQ")  # page, sequence
_MAGIC, _VERSION = 0xED0CDAED, 2
_BRANCH, _LEAF, _META_FLAG = 0x01, 0x02, 0x04
_IS_BUCKET = 0x01


class NotBoltError(ValueError):
    """The file is no bbolt database, or a damaged one."""


def bucket(data: memoryview, name: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a bucket of the root, in the order of keys. Raises NotBoltError."""
    try:
        page_size, root = _meta(data)
        for key, value, flags in _walk(data, page_size, root):
            if key == name and flags & _IS_BUCKET:
                yield from _entries(data, page_size, value)
                return
    except (struct.error, IndexError) as error:
        raise NotBoltError(f"a page of the database cannot be read: {error}") from error
    raise NotBoltError(f"the database has no bucket {name!r}")


def _entries(data: memoryview, page_size: int, value: memoryview) -> Iterator[tuple[bytes, bytes]]:
    root, _ = _BUCKET.unpack_from(value)
    # A small bucket lies, as a page of its own, right behind its header.
    found = _walk(data, page_size, root) if root else _walk_page(data, page_size, value[_BUCKET.size :])
    return ((key, bytes(content)) for key, content, _ in found)


def _meta(data: memoryview) -> tuple[int, int]:
    """Page size and the page of the root, by the newer of the two descriptions."""
    found = []
    at = 0
    for _ in range(2):
        _, flags, _, _ = _PAGE.unpack_from(data, at)
        magic, version, page_size, _, root, _, _, _, transaction = _META.unpack_from(data, at + _PAGE.size)
        if not flags & _META_FLAG or magic != _MAGIC or version != _VERSION:
            raise NotBoltError("this is no database of etcd")
        found.append((transaction, page_size, root))
        at = page_size
    _, page_size, root = max(found)
    return page_size, root


def _walk(data: memoryview, page_size: int, page: int) -> Iterator[tuple[bytes, memoryview, int]]:
    return _walk_page(data, page_size, data[page * page_size :])


def _walk_page(data: memoryview, page_size: int, page: memoryview) -> Iterator[tuple[bytes, memoryview, int]]:
    _, flags, count, _ = _PAGE.unpack_from(page)
    for number in range(count):
        at = _PAGE.size + number * _LEAF_ELEMENT.size
        if flags & _BRANCH:
            _, _, child = _BRANCH_ELEMENT.unpack_from(page, at)
            yield from _walk(data, page_size, child)
        elif flags & _LEAF:
            element_flags, offset, key_size, value_size = _LEAF_ELEMENT.unpack_from(page, at)
            begin = at + offset
            value = page[begin + key_size : begin + key_size + value_size]
            if len(value) != value_size:
                raise NotBoltError("the database is cut off")
            yield bytes(page[begin : begin + key_size]), value, element_flags
        else:
            raise NotBoltError(f"a page of the tree is of no known kind: {flags:#x}")
