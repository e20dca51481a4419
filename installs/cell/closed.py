"""Takes from this process what it does not need to think: files, programs, the network, endless time and memory.

seccomp(2) with a list of what is allowed: everything else fails with EPERM, which Python makes an exception of.
"""

import ctypes
import platform
import resource
import signal
import struct
from collections.abc import Iterable

# prctl(2), seccomp(2), linux/audit.h
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 1, 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h: BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
AT_NUMBER, AT_ARCHITECTURE = 0, 4  # struct seccomp_data
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050001, 0x80000000  # SECCOMP_RET_ALLOW, _ERRNO with EPERM, _KILL_PROCESS

# read write close fstat lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn pread64 mremap madvise
# getpid exit gettimeofday futex clock_gettime exit_group newfstatat getrandom sigaltstack
CALLS = {
    "x86_64": (
        0xC000003E,
        (0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 17, 25, 28, 39, 60, 96, 202, 228, 231, 262, 318, 131),
    ),
    "aarch64": (
        0xC00000B7,
        (63, 64, 57, 80, 62, 222, 226, 215, 214, 134, 135, 139, 67, 216, 233, 172, 93, 169, 98, 113, 94, 79, 278, 132),
    ),
}  # fmt: skip


class CannotClose(Exception):
    """This computer has not what it takes: then nothing strange is read here."""


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def close_in(*, memory_bytes: int, cpu_seconds: int) -> None:
    """From here on this process only reads, writes and thinks on what it has open. Raises CannotClose."""
    machine = platform.machine()
    if machine not in CALLS:
        raise CannotClose(f"templates and answer files are read on x86_64 and aarch64 only, this is {machine}")
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # pipes have no size
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    code = _filter(*CALLS[machine])
    program = _Program(len(code) // 8, code)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0)  # who asked is gone: nobody waits for the answer
    _prctl(PR_SET_NO_NEW_PRIVS, 1, 0)
    _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program))


def _filter(architecture: int, numbers: Iterable[int]) -> bytes:
    """The program of the filter: one architecture, these calls, nothing more."""
    steps = [(LOAD, 0, 0, AT_ARCHITECTURE), (EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL), (LOAD, 0, 0, AT_NUMBER)]
    for number in numbers:
        steps += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    steps.append((RETURN, 0, 0, REFUSE))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _prctl(option: int, first: int, second: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(first), ctypes.c_ulong(second), 0, 0):
        raise CannotClose(f"the kernel refuses to close a process in (prctl: {ctypes.get_errno()}): it needs seccomp")
