"""Imports run one way, between packages and between the folders of theorylab."""

import ast
import importlib.metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "bounds": set(),
    "theorylab": {"bounds"},
    "synthetic": {"bounds", "theorylab"},
    "deep": {"bounds", "theorylab"},
    "paper_figures": {"bounds", "theorylab", "synthetic", "deep"},
}
FILES = [
    (package, path) for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))
]

# Each folder of theorylab imports only those before it (and errors, progress, console).
LAYERS = (
    "data", "problem", "method", "plugins", "engine", "stability", "quantities", "judge", "exact",
    "hunt", "studies", "torch", "conformance", "cli",
)  # fmt: skip


def imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize(("package", "path"), FILES, ids=lambda v: getattr(v, "stem", v))
def test_imports_run_one_way(package: str, path: Path) -> None:
    forbidden = set(MAY_IMPORT) - MAY_IMPORT[package] - {package}
    assert not imported(ast.parse(path.read_text())) & forbidden


@pytest.mark.parametrize(
    "path", [path for package, path in FILES if package == "bounds"], ids=lambda p: p.stem
)
def test_bounds_know_nothing_of_torch(path: Path) -> None:
    assert "torch" not in imported(ast.parse(path.read_text()))


def modules_named(tree: ast.Module) -> set[str]:
    """Every module, or member of one, that is imported at any depth."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize(
    "path",
    [
        path
        for package, path in FILES
        # paper_figures holds commands of its own.
        if package != "paper_figures" and path.parent.name != "cli" and path.name != "__main__.py"
    ],
    ids=lambda p: p.stem,
)
def test_the_library_does_not_import_its_command_line(path: Path) -> None:
    for name in modules_named(ast.parse(path.read_text())):
        assert not f"{name}.".startswith("theorylab.cli.")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "theorylab").glob("*/*.py")), ids=lambda p: f"{p.parent.name}.{p.stem}"
)
def test_folders_of_theorylab_import_one_way(path: Path) -> None:
    allowed = set(LAYERS[: LAYERS.index(path.parent.name) + 1])
    for name in modules_named(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] == "theorylab" and len(parts) > 1 and parts[1] in LAYERS:
            assert parts[1] in allowed, f"{path.parent.name} imports {name}"


def test_one_driver_steps_a_rule() -> None:
    """A rule's update is called by the engine's steps, and by the torch adapter alone."""
    callers = {
        path.relative_to(ROOT).as_posix()
        for package, path in FILES
        if package != "bounds"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "update"
        and len(node.args) == 4
    }
    # Counting asks one step what it costs; probe tries once whether a rule takes lists of tensors;
    # whole runs its code once on numbers that note what is done to them.
    assert callers == {
        "theorylab/engine/step.py", "theorylab/engine/counting.py", "theorylab/torch/adapter.py",
        "theorylab/torch/probe.py", "theorylab/torch/whole.py",
    }  # fmt: skip


def test_every_folder_of_theorylab_has_its_place() -> None:
    folders = {path.parent.name for path in (ROOT / "theorylab").glob("*/__init__.py")}
    assert folders == set(LAYERS)


def test_no_import_circles() -> None:
    """Modules of one package import each other without circles at module level."""
    graph: dict[str, set[str]] = {}
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for _, p in FILES}
    names = {name.removesuffix(".__init__"): p for name, p in names.items()}
    for name, path in names.items():
        graph[name] = set()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                candidates = [f"{node.module}.{a.name}" for a in node.names]
                for candidate in candidates:
                    target = candidate if candidate in names else node.module
                    if target in names and target != name:
                        graph[name].add(target)

    state: dict[str, int] = {}

    def visit(node: str, trail: tuple[str, ...]) -> None:
        assert state.get(node) != 1, f"import circle: {' -> '.join((*trail, node))}"
        if state.get(node) == 2:
            return
        state[node] = 1
        for target in graph[node]:
            visit(target, (*trail, node))
        state[node] = 2

    for name in graph:
        visit(name, ())


def test_every_package_is_listed_for_the_wheel() -> None:
    import tomllib

    listed = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    )
    on_disk = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in MAY_IMPORT
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert on_disk == listed


def test_entry_points_load() -> None:
    for group in ("statements", "rules", "objectives", "commands"):
        points = importlib.metadata.entry_points(group=f"theorylab.{group}")
        assert points
        for point in points:
            point.load()


# The statements of a paper stay together.
LONGEST = 500
LONG = {"bounds/lrsgd.py", "bounds/sngm.py", "bounds/tralgo.py"}


def test_no_file_grows_past_what_a_reader_takes_in() -> None:
    paths = [path for _, path in FILES] + sorted((ROOT / "tests").glob("*.py"))
    sizes = {p.relative_to(ROOT).as_posix(): len(p.read_text().splitlines()) for p in paths}
    assert {name for name, size in sizes.items() if size > LONGEST} <= LONG


# What may write otherwise: the helper, C for a compiler in a folder of its own, an open log.
_WRITERS = {
    "theorylab/plugins/files.py", "theorylab/engine/native/library.py", "deep/gpu/record.py",
}  # fmt: skip
_WRITES = ("write_text", "write_bytes", "savefig", "save", "savez", "savez_compressed", "to_csv",
           "to_parquet", "to_excel", "tofile")  # fmt: skip


def _whole(call: ast.Call) -> bool:
    """Whether the call returns what it makes, or writes into a stream or a folder of its own."""
    target = ast.unparse(call.args[-1 if ast.unparse(call).startswith("torch.") else 0])
    return target in ("stream", "out", "hashed", "buffer", "drawn", "None")


def test_every_file_is_written_by_the_one_helper() -> None:
    """So that it is whole or as it was, whenever the process dies."""
    found = set()
    for _, path in FILES:
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            name, owner = call.func.attr, ast.unparse(call.func.value)
            place = path.relative_to(ROOT).as_posix()
            if name == "open" and any(
                isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wax")
                for mode in (*call.args, *(k.value for k in call.keywords if k.arg == "mode"))
            ):
                found.add((place, ast.unparse(call)))
            # A report's ``save``, and the checkpoint's, are the helper's users.
            ours = owner in ("checkpoint", "report", "found")
            if name in _WRITES and call.args and not ours and not _whole(call):
                found.add((place, ast.unparse(call)))
    assert {call for call in found if call[0] not in _WRITERS} == set()
