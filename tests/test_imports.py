"""Imports point down the house and never in a circle, and importing costs only what is used."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Top floor first. A module may import from its own floor and from those below it.
FLOORS = [
    ["cli", "__main__"],
    ["server"],
    ["selftest"],
    ["chat", "bench", "doctor", "evals", "train"],
    ["engine", "batching"],
    ["decode"],
    ["cluster"],
    ["memory"],
    ["hub"],
    ["model"],
    ["text"],
    ["terminal", "mcp"],
    ["settings", "options"],
    ["errors", "events", "lfs_pointer", "version"],
]
# The converter's own; what stands beside the folders is named by its file.
CONVERTER_FLOORS = [
    ["pipeline", "compare", "display", "checks"],
    ["calibration"],
    ["output", "progress"],
    ["sources"],
    ["rounding"],
    ["recipe", "memory"],
]
RUNTIME = sorted((ROOT / "mlx_magistral").rglob("*.py"))
CONVERTER = sorted((ROOT / "convert" / "magistral_convert").rglob("*.py"))
PEERS = {"mlx_lm", "transformers", "torch"}


def module_of(path: Path) -> str:
    base = ROOT if "mlx_magistral" in path.parts else ROOT / "convert"
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path) -> set[str]:
    """Every module a file imports, wherever in the file, for types too; relative ones absolute."""
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    modules = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            modules.add(module)
            # A module may be what is imported from a package.
            modules |= {f"{module}.{alias.name}" for alias in node.names}
    return modules


IMPORTS = {module_of(path): imported_modules(path) for path in (*RUNTIME, *CONVERTER)}


def floor_of(module: str, floors: list[list[str]]) -> int:
    name = module.split(".")[1]
    return next(index for index, floor in enumerate(floors) if name in floor)


@pytest.mark.parametrize("module", sorted(IMPORTS))
def test_imports_point_down(module: str) -> None:
    top, *inner = module.split(".")
    if not inner:
        return
    floors = FLOORS if top == "mlx_magistral" else CONVERTER_FLOORS
    own = floor_of(module, floors)
    for other in IMPORTS[module]:
        if other in IMPORTS and other.split(".")[0] == top and "." in other:
            assert floor_of(other, floors) >= own, f"{module} imports {other} from a floor above"


def test_no_circle() -> None:
    graph = {
        module: {other for other in imports if other in IMPORTS and other != module}
        for module, imports in IMPORTS.items()
    }
    # Packages hold no code of their own but the root's lazy names, which nothing here imports.
    graph = {module: imports - {"mlx_magistral"} for module, imports in graph.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("path", RUNTIME, ids=lambda path: str(path.relative_to(ROOT)))
def test_runtime_imports_no_peer(path: Path) -> None:
    tops = {module.split(".")[0] for module in imported_modules(path)}
    if path.name not in ("drafting.py", "peer.py"):
        assert not tops & PEERS
    if "cli" not in path.parts:
        assert "magistral_convert" not in tops


@pytest.mark.parametrize("path", CONVERTER, ids=lambda path: path.stem)
def test_converter_stands_on_the_lower_floors_alone(path: Path) -> None:
    modules = imported_modules(path)
    assert not {module.split(".")[0] for module in modules} & PEERS
    for module in modules:
        if module.startswith("mlx_magistral."):
            allowed = ("errors", "lfs_pointer", "version", "text", "model", "hub")
            # What it draws with is a floor below text.
            allowed += ("terminal",) * (path.stem == "display")
            assert module.split(".")[1] in allowed, f"{path.name} imports {module}"


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import mlx_magistral", ["mlx", "mistral_common", "click", "huggingface_hub"]),
        ("import mlx_magistral.cli.main", ["mlx", "mistral_common", "rich", "huggingface_hub"]),
        (
            "import mlx_magistral.cli.commands.generate",
            ["mlx", "mistral_common", "rich", "asyncio", "mcp"],
        ),
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
