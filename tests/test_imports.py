"""Imports point down the house, and importing costs only what is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Top floor first. A module may import from its own floor and from those below it.
FLOORS = [
    ["cli", "__main__"],
    ["bench", "chat", "doctor", "server"],
    ["display", "saving"],
    ["terminal"],
    ["batching"],
    ["engine"],
    ["tool_rounds", "streaming", "drafting"],
    ["progress"],
    ["reply", "hub", "hub_headers", "catalog"],
    ["tokenizer_source"],
    ["hub_download"],
    ["decode"],
    ["memory"],
    ["model"],
    ["text"],
    ["hub_errors", "hub_cache", "hub_files", "settings"],
    ["errors", "events", "version"],
]
RUNTIME = sorted((ROOT / "mlx_magistral").rglob("*.py"))
CONVERTER = sorted((ROOT / "convert" / "magistral_convert").rglob("*.py"))
PEERS = {"mlx_lm", "transformers", "torch"}


def imported_modules(path: Path) -> set[str]:
    """Every module a file imports, wherever in the file, relative ones made absolute."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            modules.add(node.module)
    return modules


def floor_of(module: str) -> int:
    name = module.split(".")[1]
    return next(index for index, floor in enumerate(FLOORS) if name in floor)


@pytest.mark.parametrize("path", RUNTIME, ids=lambda path: str(path.relative_to(ROOT)))
def test_runtime_imports_point_down(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts == ("mlx_magistral", "__init__"):
        return
    own = floor_of(".".join(parts))
    for module in imported_modules(path):
        if module.startswith("mlx_magistral."):
            assert floor_of(module) >= own, f"{path.name} imports {module} from a floor above"


@pytest.mark.parametrize("path", RUNTIME, ids=lambda path: str(path.relative_to(ROOT)))
def test_runtime_imports_no_peer(path: Path) -> None:
    tops = {module.split(".")[0] for module in imported_modules(path)}
    if path.name not in ("drafting.py", "peer.py"):
        assert not tops & PEERS
    if "cli" not in path.parts:
        assert "magistral_convert" not in tops


@pytest.mark.parametrize("path", CONVERTER, ids=lambda path: path.name)
def test_converter_stands_on_the_lower_floors_alone(path: Path) -> None:
    modules = imported_modules(path)
    assert not {module.split(".")[0] for module in modules} & PEERS
    for module in modules:
        if module.startswith("mlx_magistral."):
            allowed = ("errors", "version", "text", "model", "hub", "hub_cache")
            assert module.split(".")[1] in allowed, f"{path.name} imports {module}"


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import mlx_magistral", ["mlx", "mistral_common", "click", "huggingface_hub"]),
        ("import mlx_magistral.cli.main", ["mlx", "mistral_common", "rich", "huggingface_hub"]),
        ("import mlx_magistral.cli.generate", ["mlx", "mistral_common", "rich"]),
        ("import mlx_magistral.text.tokenizer", ["mlx"]),
        ("from mlx_magistral import Magistral", ["mlx_lm", "transformers", "torch", "rich"]),
    ],
)
def test_import_is_lazy(statement: str, forbidden: list[str]) -> None:
    code = f"import sys; {statement}; print([m for m in {forbidden!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout.strip() == "[]"
