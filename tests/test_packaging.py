"""What is packaged beside the code: the lock follows pyproject.toml, the formula the lock."""

import hashlib
import importlib.util
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCKED = re.findall(
    r"^([\w.-]+)==", (ROOT / "packaging" / "requirements.txt").read_text("utf-8"), re.MULTILINE
)


def test_all_that_a_mac_needs_is_locked_with_its_hashes() -> None:
    needed = [each for each in PROJECT["dependencies"] if "'linux'" not in each]
    needed += PROJECT["optional-dependencies"]["serve"]
    names = {re.split(r"[\[<>=; ]", each)[0] for each in needed}
    assert names <= set(LOCKED), "run packaging/lock"
    assert {"mlx-metal", "llguidance"} <= set(LOCKED)
    text = (ROOT / "packaging" / "requirements.txt").read_text("utf-8")
    assert all("--hash=sha256:" in part for part in text.split("==")[1:])
    assert "://" not in text


def test_the_extra_all_is_all_but_dev() -> None:
    extras = PROJECT["optional-dependencies"]
    (whole,) = extras["all"]
    named = re.search(r"\[(.*)\]", whole)
    assert named is not None and set(named[1].split(",")) == set(extras) - {"all", "dev"}


def test_the_formula_is_of_the_sdist_and_the_lock() -> None:
    place = ROOT / "packaging" / "homebrew.py"
    spec = importlib.util.spec_from_file_location("homebrew", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.formula(b"sdist", "https://example.org/a.tar.gz", "https://example.org")
    assert f'sha256 "{hashlib.sha256(b"sdist").hexdigest()}"' in text
    assert f"# {len(LOCKED)} packages" in text
    assert 'url "https://example.org/a.tar.gz"' in text and "#{bin}/mlx-magistral" in text
    assert text.count(" do\n") + len(re.findall(r"^ *(?:class|def) ", text, re.MULTILINE)) == len(
        re.findall(r"^ *end$", text, re.MULTILINE)
    )
