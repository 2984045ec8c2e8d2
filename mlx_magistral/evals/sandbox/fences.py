"""The ways to fence a command in, each as the longer command that does it.

Whether a way works here is not judged by its name: sandbox.py tries it with a program that tries
to get out.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from mlx_magistral.evals.sandbox.limits import Limits

# What holds the loader and the libraries of an interpreter; links among them stay links.
_SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/nix/store")


@dataclass(frozen=True)
class Fence:
    """``wrap`` makes the fenced command of a command; ``is_real`` is False for none."""

    name: str
    wrap: Callable[[Sequence[str], Limits], list[str]]
    is_real: bool = True


def interpreter() -> str:
    """The real interpreter, outside of any virtual environment."""
    return os.path.realpath(sys.executable)


def shown_paths() -> tuple[list[str], dict[str, str]]:
    """Folders and files an interpreter needs, and the links to them.

    Empty where they hold the user's home, which must not be shown.
    """
    paths: list[str] = []
    links: dict[str, str] = {}
    wanted = [*_SYSTEM, os.path.realpath(sys.base_prefix), os.path.realpath(sys.base_exec_prefix)]
    wanted += [os.path.realpath(os.path.dirname(os.__file__)), interpreter()]
    for path in wanted:
        if os.path.islink(path):
            links[path] = os.readlink(path)
        elif os.path.exists(path) and not any(_is_below(path, each) for each in paths):
            paths.append(path)
    home = os.path.realpath(Path.home())
    return ([], {}) if any(_is_below(home, path) for path in paths) else (paths, links)


def namespaces() -> Fence:
    """Linux' own user and mount namespaces."""
    paths, links = shown_paths()
    source = Path(__file__).with_name("namespaces.py").read_text("utf-8")

    def wrap(command: Sequence[str], limits: Limits) -> list[str]:
        settings = {
            "parent": os.getpid(),
            "paths": paths,
            "links": links,
            "folder_bytes": limits.folder_bytes,
            "command": list(command),
        }
        return [interpreter(), "-I", "-S", "-c", source, json.dumps(settings)]

    return Fence("user namespaces", wrap)


def bubblewrap() -> Fence:
    """The same through bwrap, which some systems trust where they trust nobody else."""
    paths, links = shown_paths()
    program = which("bwrap") or "bwrap"

    def wrap(command: Sequence[str], limits: Limits) -> list[str]:
        # Folders above what is shown must let nobody pass.
        above = sorted({str(parent) for path in paths for parent in Path(path).parents} - {"/"})
        open_to_all = [part for path in above for part in ("--perms", "0755", "--dir", path)]
        shown = [part for path in paths for part in ("--ro-bind", path, path)]
        linked = [part for path, to in links.items() for part in ("--symlink", to, path)]
        # Root must become nobody inside, and a user namespace of bwrap's knows one user only.
        users = [] if os.geteuid() == 0 else ["--unshare-user", "--uid", "65534", "--gid", "65534"]
        return [
            *(program, "--die-with-parent", "--new-session", "--clearenv"),
            *("--setenv", "LANG", "C.UTF-8", "--setenv", "PYTHONHASHSEED", "0"),
            *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
            *("--unshare-cgroup-try", *users, *open_to_all, *shown, *linked),
            *("--dev-bind", "/dev/null", "/dev/null", "--dev-bind", "/dev/urandom", "/dev/urandom"),
            *("--size", str(limits.folder_bytes), "--tmpfs", "/work", "--chmod", "0777", "/work"),
            *("--chdir", "/work", "--remount-ro", "/", "--", *command),
        ]

    return Fence("bubblewrap", wrap)


def sandbox_exec() -> Fence:
    """A Mac's sandbox: what is not allowed by name is denied, starting processes included."""

    def wrap(command: Sequence[str], limits: Limits) -> list[str]:
        return ["/usr/bin/sandbox-exec", "-p", mac_profile(), *command]

    return Fence("sandbox-exec", wrap)


def mac_profile() -> str:
    """The profile in the sandbox's own language: the interpreter may run and read itself.

    No rule allows network, processes, Mach services, signals to others or any file to be written.
    """
    real = sorted({interpreter(), os.path.realpath(sys.base_prefix)})
    folders = [*real, os.path.realpath(os.path.dirname(os.__file__))]
    system = ["/usr/lib", "/usr/share/zoneinfo", "/System/Library", "/System/Volumes/Preboot"]
    system += ["/Library/Apple/System", "/private/var/db/dyld", "/private/var/db/timezone"]
    shown = " ".join(f"(subpath {_quoted(path)})" for path in [*folders, *system])
    devices = " ".join(
        f"(literal {_quoted(path)})" for path in ("/dev/null", "/dev/urandom", "/dev/random")
    )
    return "\n".join(
        [
            "(version 1)",
            "(deny default)",
            # A framework's python becomes another program of its folder when it starts.
            f"(allow process-exec* {' '.join(f'(subpath {_quoted(path)})' for path in real)})",
            f'(allow file-read* {shown} {devices} (literal "/"))',
            f"(allow file-map-executable {shown})",
            '(allow file-write-data (literal "/dev/null"))',
            "(allow file-read-metadata)",
            "(allow sysctl-read)",
            "(allow process-info* (target self))",
            "(allow signal (target self))",
        ]
    )


def unfenced() -> Fence:
    """No fence: limits alone."""
    return Fence("no sandbox", lambda command, limits: list(command), is_real=False)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _quoted(path: str) -> str:
    return json.dumps(path, ensure_ascii=False)
