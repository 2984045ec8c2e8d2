#!/usr/bin/env python3
"""Build sdist and wheel and check them: contents, metadata, and an install that answers.

    scripts/checks/package.py                       about 10 s; dependencies are those of .venv
    scripts/checks/package.py --with-dependencies   a whole install from the package index

Called by scripts/lint. The wheel is installed into an empty virtual environment, in another folder
than this one, so nothing of the working tree takes part.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

from packaging.metadata import Metadata

ROOT = Path(__file__).parents[2]
PACKAGES = {"mlx_magistral": "mlx_magistral", "magistral_convert": "convert/magistral_convert"}
BESIDE = ("tests/", "scripts/", "docs/", "packaging/", "LICENSE", "README.md", "CONTRIBUTING.md")
MOST_BYTES = 6_000_000
QUESTION = ("generate", "What is 37 + 48?", "-m", "nano", "--temperature", "0", "--quiet")


def main() -> None:
    """Build, look, install, ask."""
    parser = argparse.ArgumentParser(description="Check the sdist and the wheel.")
    parser.add_argument("--with-dependencies", action="store_true")
    whole = parser.parse_args().with_dependencies
    with tempfile.TemporaryDirectory() as scratch:
        sdist, wheel = build(Path(scratch))
        check_sdist(sdist)
        check_wheel(wheel)
        answer = install_and_ask(wheel, Path(scratch), with_dependencies=whole)
    require("85" in answer, f"the installed program answers {answer!r}")
    print(f"{sdist.name}, {wheel.name}: contents, metadata and a fresh install are right.")


def build(folder: Path) -> tuple[Path, Path]:
    """Both, from the working tree, with the builder that pip would use."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    run(command, cwd=ROOT)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    require(max(sdist.stat().st_size, wheel.stat().st_size) < MOST_BYTES, "they are too large")
    return sdist, wheel


def tracked(folder: str) -> set[str]:
    """The files of a folder that are part of the project, by their paths in it."""
    listed = run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder], cwd=ROOT
    )
    return {name.removeprefix(f"{folder}/") for name in listed.splitlines()}


def check_sdist(sdist: Path) -> None:
    """All that a packager needs to build, test and read."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for beside in BESIDE:
        there = any(name.startswith(beside) for name in names)
        require(there, f"the sdist has no {beside}")
    for folder in PACKAGES.values():
        missing = {f"{folder}/{name}" for name in tracked(folder)} - names
        require(not missing, f"the sdist lacks {sorted(missing)[:3]}")


def check_wheel(wheel: Path) -> None:
    """Both packages whole, the licence, and nothing else; metadata as the standard has it."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (found,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = Metadata.from_email(archive.read(found))  # raises where it is not valid
    info = found.removesuffix("METADATA")
    for package, folder in PACKAGES.items():
        start = f"{package}/"
        stored = {each.removeprefix(start) for each in names if each.startswith(start)}
        expected = tracked(folder)
        require(stored == expected, f"{package} differs by {sorted(stored ^ expected)[:3]}")
        require("py.typed" in stored, f"{package} has no py.typed")
    starts = (*(f"{package}/" for package in PACKAGES), info)
    others = [name for name in names if not name.startswith(starts)]
    require(not others, f"the wheel also holds {others[:3]}")
    require(f"{info}licenses/LICENSE" in names, "the wheel has no LICENSE")
    require(metadata.license_expression == "Apache-2.0", "the licence is not named")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"])
    require(set(metadata.provides_extra or ()) == extras, "the extras are others")
    everything = ",".join(sorted(extras - {"all", "dev"}))
    taken = project["optional-dependencies"]["all"][0].partition("[")[2].rstrip("]").split(",")
    require(",".join(sorted(taken)) == everything, f"the extra all is not {everything}")
    require(metadata.description_content_type == "text/markdown", "README is not Markdown")


def install_and_ask(wheel: Path, scratch: Path, *, with_dependencies: bool) -> str:
    """What nano answers in an environment that has nothing but the wheel and what it needs."""
    place = scratch / "fresh"
    run([sys.executable, "-m", "venv", *([] if with_dependencies else ["--without-pip"]), place])
    python = place / "bin" / "python"
    pip = [str(python), "-m", "pip"] if with_dependencies else [sys.executable, "-m", "pip"]
    install = ["install", "--quiet", "--disable-pip-version-check", str(wheel)]
    if with_dependencies:
        run([*pip, *install])
    else:
        run([*pip, "--python", str(python), *install, "--no-deps", "--no-index"])
        # A line in a .pth is a folder to look in; .pth files in that folder, such as the one of the
        # working tree's own install, are not read.
        lines = [each for each in sys.path if each.endswith("site-packages")]
        site = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip()
        Path(site, "dependencies.pth").write_text("\n".join(lines))
    where = "import mlx_magistral; print(mlx_magistral.__file__)"
    require(str(place) in run([python, "-c", where], cwd=scratch), "it is not what was installed")
    return run([place / "bin" / "mlx-magistral", *QUESTION], cwd=scratch)


def run(command: Sequence[str | Path], cwd: Path | None = None) -> str:
    """The output of a command; ends the check where it fails."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ended = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    require(ended.returncode == 0, f"{command[0]} failed: {ended.stderr.strip()[-500:]}")
    return ended.stdout


def require(is_so: bool, problem: str) -> None:
    """End with one line unless it is so."""
    if not is_so:
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    main()
