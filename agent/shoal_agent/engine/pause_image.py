"""The image of the container that does nothing but hold a task's namespaces: made here, so that none is fetched.

Its one program is a hundred bytes of machine code. It has the duties of the first process of a namespace: children
that nobody waits for are reaped by the kernel (SIGCHLD is ignored), and SIGTERM and SIGINT end it, of which the
kernel spares a first process that does not ask for them. In C:

    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    while (sigtimedwait(&ends, NULL, NULL) <= 0);
    exit(0);
"""

import io
import struct
import tarfile

# Images are found by their name: another program needs another version.
VERSION = 1
IMAGE = f"shoal/pause:{VERSION}"
PROGRAM = "/pause"

# What follows the code: struct sigaction with the handler SIG_IGN, then `ends`, the set of SIGINT and SIGTERM.
_DATA = struct.pack("<5Q", 1, 0, 0, 0, 1 << 2 - 1 | 1 << 15 - 1)

_X86_64 = bytes.fromhex(
    "488d3541000000"  # lea action(%rip), %rsi
    "bf11000000"  # mov $SIGCHLD, %edi
    "31d2"  # xor %edx, %edx
    "41ba08000000"  # mov $8, %r10d: bytes of a set of signals
    "b80d000000"  # mov $SYS_rt_sigaction, %eax
    "0f05"  # syscall
    "488d3546000000"  # lea ends(%rip), %rsi
    "31ff"  # xor %edi, %edi: SIG_BLOCK
    "b80e000000"  # mov $SYS_rt_sigprocmask, %eax
    "0f05"  # syscall
    "488d3d36000000"  # again: lea ends(%rip), %rdi
    "31f6"  # xor %esi, %esi
    "b880000000"  # mov $SYS_rt_sigtimedwait, %eax
    "0f05"  # syscall
    "85c0"  # test %eax, %eax
    "7eec"  # jle again
    "31ff"  # xor %edi, %edi
    "b83c000000"  # mov $SYS_exit, %eax
    "0f05"  # syscall
)

_AARCH64 = struct.pack(
    "<20I",
    0x10000281,  # adr x1, action
    0xD2800220,  # mov x0, #SIGCHLD
    0xD2800002,  # mov x2, #0
    0xD2800103,  # mov x3, #8: bytes of a set of signals
    0xD28010C8,  # mov x8, #SYS_rt_sigaction
    0xD4000001,  # svc #0
    0x100002C1,  # adr x1, ends
    0xD2800000,  # mov x0, #SIG_BLOCK
    0xD28010E8,  # mov x8, #SYS_rt_sigprocmask
    0xD4000001,  # svc #0
    0x10000240,  # again: adr x0, ends
    0xD2800001,  # mov x1, #0
    0xD2801128,  # mov x8, #SYS_rt_sigtimedwait
    0xD4000001,  # svc #0
    0x7100001F,  # cmp w0, #0
    0x54FFFF6D,  # b.le again
    0xD2800000,  # mov x0, #0
    0xD2800BA8,  # mov x8, #SYS_exit
    0xD4000001,  # svc #0
    0xD503201F,  # nop: the data lies at a multiple of eight
)

# By the engine's name of its architecture: ELF's number of the machine, and the code.
_MACHINES = {"x86_64": (62, _X86_64), "amd64": (62, _X86_64), "aarch64": (183, _AARCH64), "arm64": (183, _AARCH64)}

_LOADED_AT = 0x400000
_HEADER_BYTES, _SEGMENT_BYTES = 64, 56


def program(architecture: str) -> bytes:
    """A static ELF executable. Raises KeyError for an architecture that it was not written for."""
    machine, code = _MACHINES[architecture]
    start = _HEADER_BYTES + _SEGMENT_BYTES
    size = start + len(code) + len(_DATA)
    identity = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)  # 64 bits, little endian, version 1
    counts = (_HEADER_BYTES, _SEGMENT_BYTES, 1, 0, 0, 0)
    header = struct.pack("<HHIQQQI6H", 2, machine, 1, _LOADED_AT + start, _HEADER_BYTES, 0, 0, *counts)
    read_and_execute = 5
    segment = struct.pack("<II6Q", 1, read_and_execute, 0, _LOADED_AT, _LOADED_AT, size, size, 0x10000)
    return identity + header + segment + code + _DATA


def archive(architecture: str) -> bytes:
    """The image's file system as a tar; always the same bytes. Raises KeyError as `program` does."""
    content, packed = program(architecture), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo(PROGRAM.removeprefix("/"))
        entry.size, entry.mode = len(content), 0o555
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
