"""Runs between us and the sandbox on Linux, as text given to the interpreter: imports nothing here.

Makes user, mount, process, network, IPC and host name namespaces, builds a root that holds the
interpreter alone and a small folder in memory, and starts what it is told there. argv[1] is JSON:
``parent`` (process id), ``paths`` (shown read-only), ``links`` (symbolic links), ``folder_bytes``
and ``command``. Ends with 128 + N where a signal N ended the command, with 111 where the sandbox
cannot be made.
"""

import ctypes
import json
import os
import signal
import struct
import sys

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER = 0x20000, 0x4000000, 0x8000000, 0x10000000
_NEWPID, _NEWNET = 0x20000000, 0x40000000
_BIND, _REC, _PRIVATE, _NOSUID, _NODEV = 4096, 16384, 1 << 18, 2, 4
_DETACH = 2
_SET_PDEATHSIG, _SET_NO_NEW_PRIVS = 1, 38
# One number on every machine; pivot_root's is older and differs.
_MOUNT_SETATTR = 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "armv7l": 218, "i686": 217}
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_NOBODY = 65534
CANNOT = 111

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        print(f"{what}: {os.strerror(ctypes.get_errno())}", file=sys.stderr, flush=True)
        os._exit(CANNOT)


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if each is None else each.encode() for each in (source, target, kind, data)]
    result = libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    check(result, f"mount {target}")


def protect(path: str, flags: int, *, is_recursive: bool) -> None:
    """Add flags to a mount, and to all below it: mount(2) could not reach those."""
    attributes = struct.pack("QQQQ", flags, 0, 0, 0)
    how = _AT_RECURSIVE if is_recursive else 0
    result = libc.syscall(
        _MOUNT_SETATTR, _AT_FDCWD, path.encode(), how, attributes, ctypes.c_size_t(len(attributes))
    )
    check(result, f"protect {path}")


def die_with_parent() -> None:
    check(libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def wait_for(process: int) -> int:
    _, status = os.waitpid(process, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def write_maps(process: int) -> None:
    """Root keeps itself and nobody, whom it becomes at last; anybody else is nobody from now on."""
    uid, gid = os.getuid(), os.getgid()
    places = {"uid_map": f"{_NOBODY} {uid} 1", "gid_map": f"{_NOBODY} {gid} 1"}
    if uid == 0:
        both = f"0 0 1\n{_NOBODY} {_NOBODY} 1"
        places = {"uid_map": both, "gid_map": both}
    else:
        places = {"setgroups": "deny", **places}
    for name, text in places.items():
        with open(f"/proc/{process}/{name}", "w") as stream:
            stream.write(text)


def build_root(settings: dict[str, object]) -> None:
    """A root of its own: nothing of the real one is left but what is shown."""
    # Held open, since the first mount may hide them.
    shown = {path: os.open(path, os.O_PATH) for path in settings["paths"]}  # type: ignore[attr-defined]
    devices = [f"/dev/{name}" for name in ("null", "zero", "urandom", "random")]
    shown |= {path: os.open(path, os.O_PATH) for path in devices}
    forbid_more_namespaces()
    mount("none", "/", None, _REC | _PRIVATE)
    root = "/tmp"
    held = {path: f"/proc/self/fd/{descriptor}" for path, descriptor in shown.items()}
    is_folder = {path: os.path.isdir(source) for path, source in held.items()}
    mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "size=1m,nr_inodes=1024,mode=755")
    for path, source in held.items():
        target = root + path
        os.makedirs(target if is_folder[path] else os.path.dirname(target), 0o755, exist_ok=True)
        if not is_folder[path]:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        mount(source, target, None, _BIND | _REC)
        flags = _ATTR_NOSUID if path in devices else _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV
        protect(target, flags, is_recursive=True)
    for path, leads_to in settings["links"].items():  # type: ignore[attr-defined]
        if not os.path.lexists(root + path):
            os.symlink(leads_to, root + path)
    os.mkdir(f"{root}/work")
    size = f"size={settings['folder_bytes']},nr_inodes=4096,mode=777"
    mount("tmpfs", f"{root}/work", "tmpfs", _NOSUID | _NODEV, size)
    os.chdir(root)
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        print(f"machine {os.uname().machine} is not known", file=sys.stderr, flush=True)
        os._exit(CANNOT)
    # The old root ends up under the new one, and is let go.
    check(libc.syscall(number, b".", b"."), "pivot_root")
    check(libc.umount2(b".", _DETACH), "umount")
    os.chdir("/work")
    protect("/", _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV, is_recursive=False)
    for descriptor in shown.values():
        os.close(descriptor)


def forbid_more_namespaces() -> None:
    """None may be made inside, which most ways out of a kernel begin with."""
    try:
        with open("/proc/sys/user/max_user_namespaces", "w") as stream:
            stream.write("0")
    except OSError:
        pass  # One fence fewer; the others stand.


def become(settings: dict[str, object]) -> None:
    """The process that is the first in its namespace: all others end with it."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    # After the change of user, which would have undone it.
    die_with_parent()
    check(libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    command = settings["command"]
    os.execv(command[0], command)  # type: ignore[index,arg-type]


def main() -> None:
    settings = json.loads(sys.argv[1])
    die_with_parent()
    if os.getppid() != settings["parent"]:
        os._exit(CANNOT)
    unshared, mapped = os.pipe(), os.pipe()
    process = os.fork()
    if process:
        os.close(unshared[1])
        if os.read(unshared[0], 1):
            try:
                write_maps(process)
            except OSError as error:
                print(f"maps: {error.strerror}", file=sys.stderr, flush=True)
                os.kill(process, signal.SIGKILL)
                os._exit(CANNOT)
            os.write(mapped[1], b"+")
        os._exit(wait_for(process))
    die_with_parent()
    kinds = _NEWUSER | _NEWNS | _NEWPID | _NEWNET | _NEWIPC | _NEWUTS
    check(libc.unshare(kinds), "unshare")
    os.write(unshared[1], b"+")
    os.read(mapped[0], 1)
    build_root(settings)
    for descriptor in (*unshared, *mapped):
        os.close(descriptor)
    first = os.fork()
    if first == 0:
        become(settings)
    os._exit(wait_for(first))


if __name__ == "__main__":
    main()
