"""Who may import whom, and how long things may grow. Read from the source, so that nothing has to be imported."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import eventlog_session

ROOT = Path(eventlog_session.__file__).parent
PACKAGE = "eventlog_session"
MODULES = {
    ".".join((PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
LONGEST_MODULE = 350
LONGEST_FUNCTION = 40


class Import(NamedTuple):
    """One name that a module imports."""

    name: str
    """With its module, such as ``os.path.join`` or ``eventlog_session.core.keys.partition``."""
    lazy: bool
    """Inside a function."""
    typing: bool
    """Under ``if TYPE_CHECKING``."""


@cache
def imports(module: str) -> frozenset[Import]:
    """Return everything that *module* imports, wherever it does so."""
    return frozenset(_imports(module, ast.parse(MODULES[module].read_text()), lazy=False, typing=False))


def _imports(module: str, node: ast.AST, *, lazy: bool, typing: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, lazy, typing) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
        base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
        origin = ".".join(filter(None, (base, node.module)))
        yield from (Import(f"{origin}.{alias.name}", lazy, typing) for alias in node.names)
    elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        for statement in node.body:
            yield from _imports(module, statement, lazy=lazy, typing=True)
        for statement in node.orelse:
            yield from _imports(module, statement, lazy=lazy, typing=typing)
    else:
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from _imports(module, child, lazy=inside, typing=typing)


def importers(top: str) -> set[str]:
    """Return the modules that import something of the top-level package *top* when they run, lazily or not."""
    return {
        module.removeprefix(f"{PACKAGE}.")
        for module in MODULES for one in imports(module)
        if one.name.partition(".")[0] == top and not one.typing
    }  # fmt: skip


def module_of(name: str) -> str | None:
    """Return which of our modules the imported *name* is or lies in."""
    return name if name in MODULES else name.rpartition(".")[0] if name.rpartition(".")[0] in MODULES else None


core = [module for module in MODULES if f"{module}.".startswith(f"{PACKAGE}.core.")]
stores = [module for module in MODULES if f"{module}.".startswith(f"{PACKAGE}.stores.")]


def test_modules_are_found() -> None:
    """The tests below look at something."""
    assert {f"{PACKAGE}.core.plan", f"{PACKAGE}.stores.dapr", f"{PACKAGE}.session", PACKAGE} <= MODULES.keys()
    assert Import(f"{PACKAGE}.core.keys.partition", lazy=False, typing=False) in imports(f"{PACKAGE}.stores.dapr")
    assert any(one.lazy for one in imports(f"{PACKAGE}.opening"))
    assert any(one.typing for one in imports(f"{PACKAGE}.session"))


@pytest.mark.parametrize("module", core)
def test_core_is_pure(module: str) -> None:
    """Nothing of the core awaits, reads a clock, draws a random number, knows a store or an SDK; no function of it is async."""
    allowed = {
        "array", "backports", "base64", "bisect", "collections", "compression", "dataclasses", "datetime", "functools",
        "hashlib", "itertools", "json", "orjson", "sys", "types", "typing", "zlib", PACKAGE,
    }  # fmt: skip
    found = imports(module)
    assert {one.name.partition(".")[0] for one in found} <= allowed
    ours = {module_of(one.name) for one in found if one.name.startswith(PACKAGE)}
    assert ours <= {*core, f"{PACKAGE}.errors", f"{PACKAGE}.limits"}
    tree = ast.parse(MODULES[module].read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today")]


@pytest.mark.parametrize("module", stores)
def test_stores_know_nothing_of_the_format(module: str) -> None:
    """A store imports the port, the errors and the limits, and of the core only which partition a key is in."""
    ours = {one.name for one in imports(module) if one.name.startswith(PACKAGE)}
    known = {f"{PACKAGE}.errors", f"{PACKAGE}.limits", *stores}
    assert {name for name in ours if module_of(name) not in known} <= {f"{PACKAGE}.core.keys.partition"}


@pytest.mark.parametrize(
    ("package", "modules"),
    [
        ("grpc", {"stores.dapr", "stores.sidecar", "stores.component"}),
        ("dapr", {"stores.dapr", "stores.sidecar", "stores.component", "opening"}),
        ("cloudevents", {"exporting"}),
        ("sqlite3", {"stores.sqlite"}),
        ("cachetools", {"protocol.reader"}),
        ("opentelemetry", {"tracing", "telemetry"}),
        (
            "click",
            {
                "cli",
                "cli.asking",
                "cli.base",
                "cli.changing",
                "cli.looking",
                "cli.migrating",
                "cli.moving",
                "cli.places",
                "cli.points",
                "cli.rendering",
                "cli.saying",
            },
        ),
        ("rich", {"cli.rendering", "cli.saying"}),
    ],
)
def test_each_dependency_has_its_place(package: str, modules: set[str]) -> None:
    """What we depend on is known to one or two modules, so that replacing it touches no other."""
    assert importers(package) <= modules


def test_opening_imports_dapr_only_when_asked_for_it() -> None:
    """An embedded store does not pay for Dapr's half second; all that is read of it is its settings."""
    found = {one for one in imports(f"{PACKAGE}.opening") if one.name.startswith("dapr.")}
    assert found == {Import("dapr.conf.settings", lazy=True, typing=False)}


def test_time_and_chance_come_from_runtime() -> None:
    """Only `runtime` and the stores, whose clock is their own, import `time`; only `runtime` imports `random`."""
    assert importers("random") <= {"runtime"}
    assert {module for module in importers("time") if not module.startswith(("stores.", "testing"))} <= {"runtime"}


def test_no_module_needs_itself() -> None:
    """At run time modules import each other without a cycle."""
    graph = {
        module: {
            found
            for one in imports(module) if not (one.lazy or one.typing)
            if (found := module_of(one.name)) is not None and found not in (module, PACKAGE)
        }
        for module in MODULES
    }  # fmt: skip
    assert set(TopologicalSorter(graph).static_order()) == set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_nothing_grows_too_long(module: str) -> None:
    """A module fits in one reading, a function on one screen; docstrings are not counted."""
    source = MODULES[module].read_text()
    docstrings = 0
    lengths: dict[str, int] = {}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = 0
        if ast.get_docstring(node) is not None:
            length = (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
            docstrings += length
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lengths[node.name] = (node.end_lineno or 0) - node.lineno + 1 - length
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}
    assert source.count("\n") - docstrings <= LONGEST_MODULE
