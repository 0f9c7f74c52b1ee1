"""Imports run one way: a room of ``segmodels`` imports from the rooms below it alone, and no module is in a circle."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "segmodels"

LAYERS = (
    ("labels", "files"),
    ("label_files",),
    ("checkpoints",),
    ("models",),
    ("kernels",),
    ("crf",),
    ("inference",),
    ("insight",),
    ("training", "teaching", "export"),
    ("batch", "benchmark", "importing"),
    ("cli",),
)
"""The rooms, the lowest first; those of one layer do not import each other."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imports(name: str) -> Iterator[str]:
    """The modules of the package that the module called ``name`` imports, wherever in it."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (base, node.module or "") if part)
            for alias in node.names:
                candidate = f"{origin}.{alias.name}"
                yield candidate if candidate in MODULES else origin


def layer(name: str) -> int:
    room = name.split(".")[1]
    return next(index for index, rooms in enumerate(LAYERS) if room in rooms)


def room(name: str) -> str:
    return name.split(".")[1]


INNER = sorted(name for name in MODULES if name.count(".") and name != "segmodels.__main__")


@pytest.mark.parametrize("name", INNER)
def test_a_module_imports_from_rooms_below_its_own_alone(name: str) -> None:
    for target in imports(name):
        if target in MODULES and target.count(".") and room(target) != room(name):
            assert layer(target) < layer(name), f"{name} imports {target}, which is not below it"


def test_no_module_imports_itself_by_way_of_others() -> None:
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way, name])
        if name not in done:
            for target in set(imports(name)) & set(INNER):
                visit(target, (*way, name))
            done.add(name)

    for name in INNER:
        visit(name, ())


def test_the_zoo_does_not_import_the_page() -> None:
    for name in MODULES:
        assert not any(target.split(".")[0] in ("demo", "gradio") for target in imports(name)), name
