"""The planes of the house, proven twice: on what a fresh interpreter has loaded, and on every import statement, deferred ones too."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def modules_in(folder: str) -> list[str]:
    """Every module below a folder, by its dotted name."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths if path.name != "__main__.py"]
    return [name.removesuffix(".__init__") for name in names]


def loaded_by(*modules: str) -> set[str]:
    """What `sys.modules` holds in a fresh interpreter after importing them."""
    script = f"import sys, json, importlib\nfor name in {list(modules)!r}: importlib.import_module(name)\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def imported_in(folder: str) -> dict[str, set[str]]:
    """The modules that each file below a folder names in an import, wherever it stands in the file."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        names = found.setdefault(str(path.relative_to(ROOT)), set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: imports are absolute"
                names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def below(names: set[str], *roots: str) -> set[str]:
    return {name for name in names if any(name == root or name.startswith(root + ".") for root in roots)}


def test_the_data_plane_knows_no_sql_and_no_control_plane():
    assert (
        below(loaded_by(*modules_in("gateway/proxy")), "gateway.store", "gateway.admin", "asyncpg", "tui", "aiohttp")
        == set()
    )
    for path, names in imported_in("gateway/proxy").items():
        assert below(names, "gateway.store", "gateway.admin", "gateway.app", "asyncpg", "aiohttp", "tui") == set(), path


def test_the_control_plane_does_not_reach_into_the_data_plane():
    assert below(loaded_by(*modules_in("gateway/admin")), "gateway.proxy", "gateway.app", "tui", "textual") == set()
    for path, names in imported_in("gateway/admin").items():
        assert below(names, "gateway.proxy", "gateway.app", "tui") == set(), path


def test_adapters_do_no_io():
    loaded = loaded_by(*modules_in("gateway/providers"))
    assert (
        below(
            loaded,
            "gateway.store",
            "gateway.admin",
            "gateway.proxy",
            "gateway.upstream",
            "gateway.config",
            "aiohttp",
            "asyncpg",
        )
        == set()
    )
    for path, names in imported_in("gateway/providers").items():
        assert below(names, "asyncio", "socket", "ssl", "logging", "os", "pathlib") == set(), path


def test_the_gateway_does_not_know_the_terminal():
    for path, names in imported_in("gateway").items():
        assert below(names, "tui", "textual", "typer") == set(), path


def test_the_terminal_knows_the_gateway_by_its_shapes_only():
    for path, names in imported_in("tui").items():
        runs_servers = path.startswith(
            ("tui/commands/", "tui/checks/")
        )  # commands that start or migrate one; doctor looks at its host
        if not runs_servers:
            beyond = (
                below(names, "gateway")
                - below(names, "gateway.admin.schema", "gateway.version")
                - {"gateway", "gateway.admin"}
            )
            assert beyond == set(), path


@pytest.mark.parametrize("module", ["tui.cli", "tui.commands.keys"])
def test_the_command_line_starts_without_what_it_does_not_need(module):
    assert (
        below(
            loaded_by(module),
            "textual",
            "asyncpg",
            "aiohttp",
            "psycopg2",
            "redis",
            "yoyo",
            "cryptography",
            "prometheus_client",
        )
        == set()
    )


def test_a_worker_loads_the_client_of_redis_for_those_who_have_one():
    assert below(loaded_by("gateway.app"), "redis") == set(), "22 MB a worker"


def test_the_dashboard_paints_its_first_frame_before_it_imports_anything():
    ours = {
        "errno",
        "tui",
        "tui.ending",
        "tui.launch",
        "tui.main_screens",
        "tui.skeleton",
        "tui.terminal",
        "__future__",
    }
    assert loaded_by("tui.launch") - loaded_by() == ours


def test_package_roots_are_empty():
    for path in [*(ROOT / "gateway").rglob("__init__.py"), *(ROOT / "tui").rglob("__init__.py")]:
        assert path.read_text() == "", path
