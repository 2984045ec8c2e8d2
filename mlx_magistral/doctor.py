"""The checks of ``doctor``: each looks at one thing and says what to do where it is not ok."""

import platform
import shutil
import sys
from collections.abc import Iterator
from typing import NamedTuple

from mlx_magistral.errors import MagistralError, SettingsError

OK, WARN, FAIL = "ok", "warn", "fail"

_OLDEST_MACOS = (14, 0)
_LOW_DISK_BYTES = 20_000_000_000
_PACKAGES = ("mlx", "mistral-common", "huggingface-hub")
# Ids of tekken v13 as Magistral's model card and mistral-common's own tests have them.
_CONTROL_IDS = {"<s>": 1, "</s>": 2, "[INST]": 3, "[TOOL_CALLS]": 9, "[THINK]": 34, "[/THINK]": 35}


class Check(NamedTuple):
    """One line: ``state`` is ok, warn or fail."""

    state: str
    name: str
    found: str
    advice: str = ""


def run_checks() -> list[Check]:
    """All checks in order; none raises."""
    checks = [_python(), _system(), *_packages()]
    checks.append(_backend())
    if checks[-1].state != FAIL:
        checks += [_disk(), _settings()]
        if checks[-1].state != FAIL:
            checks.append(_default())
        checks += [_tokenizer(), *_models()]
    return checks


def platform_problem() -> str | None:
    """Why MLX cannot run here, and the next step; None where it can."""
    if sys.platform != "darwin":
        return None
    if platform.machine() != "arm64":
        translated = "arm64" in platform.version().lower()
        if translated:
            return (
                "This Python runs under Rosetta, and MLX needs a native one. Install Python for "
                "Apple silicon (arm64) and make a new virtual environment with it."
            )
        return "This Mac has an Intel processor, and MLX needs Apple silicon (M1 or later)."
    version = tuple(int(part) for part in platform.mac_ver()[0].split(".")[:2] if part.isdigit())
    if version and version < _OLDEST_MACOS:
        wanted = _OLDEST_MACOS[0]
        return f"This is macOS {platform.mac_ver()[0]}, and MLX needs {wanted}. Update macOS."
    return None


def import_problem(error: ImportError) -> str:
    """What to do when a package, as a rule mlx, cannot be loaded on this machine."""
    return platform_problem() or (
        f"A package cannot be loaded: {_first_line(error)}. Run `mlx-magistral doctor`, or install "
        f"again with `{sys.executable} -m pip install --upgrade mlx-magistral`."
    )


def mlx_problem(error: RuntimeError) -> str | None:
    """What to do about an error that MLX raised; None for one of another's."""
    # MLX has no class of its own: its messages begin with the place, as in [metal::malloc].
    if type(error) is not RuntimeError or not str(error).startswith("["):
        return None
    return (
        f"MLX failed: {_first_line(error)}. Run `mlx-magistral doctor`; where memory ended, "
        "`mlx-magistral fit` shows what fits."
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _python() -> Check:
    return Check(OK, "Python", f"{platform.python_version()} at {sys.executable}")


def _system() -> Check:
    name = f"{platform.system()} {platform.mac_ver()[0] or platform.release()}"
    found = f"{name}, {platform.machine()}"
    problem = platform_problem()
    if problem:
        return Check(FAIL, "system", found, problem)
    if sys.platform != "darwin":
        return Check(WARN, "system", found, "Models of this size need a Mac with Apple silicon.")
    return Check(OK, "system", found)


def _packages() -> Iterator[Check]:
    from importlib import metadata

    for name in _PACKAGES:
        try:
            yield Check(OK, name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Check(FAIL, name, "not installed", f"Run: pip install {name}")


def _backend() -> Check:
    try:
        from mlx_magistral.memory.machine import Backend, this_machine

        machine = this_machine()
    except ImportError as error:
        return Check(FAIL, "MLX", str(error), platform_problem() or "Run: pip install -U mlx")
    found = f"{machine.backend.value}, {machine.limit_bytes / 1e9:.1f} GB for models"
    if machine.backend is Backend.METAL:
        return Check(OK, "MLX", found)
    return Check(WARN, "MLX", found, "Without Metal only small models are usable.")


def _disk() -> Check:
    from mlx_magistral.hub.cache import cache_folder

    folder = cache_folder()
    existing = folder
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    found = f"{free / 1e9:.1f} GB free for {folder}"
    if free < _LOW_DISK_BYTES:
        return Check(WARN, "disk", found, "A 4-bit model takes 13.3 GB. Free some, or set HF_HOME.")
    return Check(OK, "disk", found)


def _settings() -> Check:
    from mlx_magistral.settings import config_file, read_settings

    try:
        return Check(OK, "settings", f"{len(read_settings())} set in {config_file()}")
    except SettingsError as error:
        return Check(FAIL, "settings", str(error), "Mend the file; no command reads it until then.")


def _default() -> Check:
    """The model that commands take where none is named; the settings are readable by now."""
    from mlx_magistral.hub.resolve import default_model, find_local

    name = default_model()
    advice = f"Run: mlx-magistral pull {name}, or set another by mlx-magistral use NAME"
    try:
        if find_local(name) is not None:
            return Check(OK, "default model", name)
    except MagistralError:
        advice = "Set another: mlx-magistral use NAME"
    return Check(WARN, "default model", f"{name} is not on this disk", advice)


def _tokenizer() -> Check:
    """nano's file is a prefix of the published one, with the same control ids."""
    from mlx_magistral.hub.resolve import nano_folder
    from mlx_magistral.text.tokenizer import load_tokenizer

    try:
        tokenizer = load_tokenizer(nano_folder())
        wrong = [name for name, each in _CONTROL_IDS.items() if tokenizer.control_id(name) != each]
    except (MagistralError, ImportError) as error:
        return Check(FAIL, "tokenizer", str(error), "Run: pip install -U mistral-common")
    text = "37 + 48 = 85, é"
    if wrong or tokenizer.decode(tokenizer.encode(text)) != text:
        advice = "Install this package again: its files or mistral-common are damaged."
        return Check(FAIL, "tokenizer", f"wrong ids {', '.join(wrong)}", advice)
    return Check(OK, "tokenizer", f"{len(_CONTROL_IDS)} control ids and a round trip as expected")


def _models() -> Iterator[Check]:
    from mlx_magistral.hub.catalog import local_models
    from mlx_magistral.hub.resolve import NANO
    from mlx_magistral.model.checkpoint import open_checkpoint

    for model in local_models():
        if model.origin == "hub" and not model.is_complete:
            advice = f"To go on: mlx-magistral pull {model.name}; to drop it: mlx-magistral rm"
            found = f"here only in part, {model.nbytes / 1e9:.3f} GB"
            yield Check(WARN, model.name, found, f"{advice} {model.name}")
            continue
        try:
            nbytes = open_checkpoint(model.folder).nbytes
        except MagistralError as error:
            again = f"mlx-magistral pull {model.name}" if model.origin == "hub" else "convert again"
            yield Check(FAIL, model.name, str(error).splitlines()[0], f"To mend it: {again}")
            continue
        if model.name != NANO and not (model.folder / "tekken.json").is_file():
            advice = "Give it one with --tokenizer, or copy the base model's beside the weights."
            yield Check(WARN, model.name, "no tekken.json", advice)
            continue
        yield Check(OK, model.name, f"{nbytes / 1e9:.3f} GB, headers complete")
