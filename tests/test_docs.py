"""The pages are held to the code: variables, routes, error codes, commands, headers, settings, links."""

import re
from pathlib import Path

import pytest
from aiohttp import web

from gateway import config, plain, records
from gateway.admin.dispatch import PREFIX
from gateway.admin.routes import ROUTES
from gateway.admin.schema.settings import Settings as SettingsTold
from gateway.app import CALL_PATHS
from gateway.catalog import Settings, Timeouts
from gateway.keyring import KEY_REGEX
from gateway.proxy import answer, exchange
from tests.test_error_shape import ELSEWHERE, STATUS, tree_of_codes
from tui.cli import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
TEXTS = {path.name: path.read_text() for path in PAGES}
README = [ROOT / "README.md"] if (ROOT / "README.md").exists() else []

OF_OTHERS = {
    "DATABASE_URL", "REDIS_URL", "NO_COLOR", "OPENAI_API_KEY", "OPENAI_BASE_URL", "GOOGLE_API_KEY",
    "GOOGLE_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL",
}  # fmt: skip


def in_code_marks(text: str) -> list[str]:
    """What stands between backticks, and the lines of code blocks."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, re.S)
    rest = re.sub(r"```.*?```", "", text, flags=re.S)
    return re.findall(r"`([^`\n]+)`", rest) + [line for block in blocks for line in block.splitlines()]


def data_plane() -> set[tuple[str, str]]:
    """Method and path of every route that is not the admin API's."""
    app = web.Application()
    plain.add_routes(app)
    found = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource and route.method != "HEAD"
    }
    return found | {("POST", path) for path in CALL_PATHS}


@pytest.mark.parametrize("page", TEXTS)
def test_every_variable_that_a_page_names_exists(page):
    named = {
        name
        for code in in_code_marks(TEXTS[page])
        for name in re.findall(r"\b(?:OPTYX|GATEWAY|ADMIN|DASHBOARD|LOG)_[A-Z0-9_]+\b", code)
    }
    known = set(config.BY_NAME) | config._OF_THE_MAKEFILE | OF_OTHERS
    assert {name for name in named if name not in known and not name.endswith("_")} == set()


def test_every_variable_stands_in_the_table_the_example_and_the_page_once():
    example = re.findall(r"^#([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.M)
    page = re.findall(r"^\| `([A-Z0-9_]+)` \|", TEXTS["configuration.md"], re.M)
    assert sorted(example) == sorted(page) == sorted(config.BY_NAME)
    assert len(config.VARIABLES) == len(config.BY_NAME)


def test_every_route_of_the_data_plane_is_on_its_page():
    page = TEXTS["request-path.md"]
    rows = re.findall(r"^\| `(GET|POST) (/[^`]*)` \|", page, re.M)
    with_prefix = {(method, path.replace("{id:.+}", "{id}")) for method, path in data_plane()}
    assert set(rows) == {
        (method, path) for method, path in with_prefix if path.startswith(("/v1", "/health", "/metrics"))
    }
    assert {
        ("POST" if m == "POST" else "GET", "/v1" + p)
        for m, p in with_prefix
        if not p.startswith(("/v1", "/health", "/metrics"))
    } <= set(rows)


def test_every_route_of_the_admin_api_that_a_page_names_exists():
    known = {f"{route.method} {PREFIX}{re.sub(r'{[^}]*}', '{}', route.path)}" for route in ROUTES} | {
        f"GET {PREFIX}/openapi.json"
    }
    shapes = {re.sub(r"^[A-Z]+ ", "", one) for one in known}
    for page, text in TEXTS.items():
        for method, path in re.findall(rf"(?:\b(GET|POST|PUT|PATCH|DELETE) )?({PREFIX}/[\w/{{}}:.-]+)", text):
            shape = re.sub(r"{[^}]*}", "{}", path.rstrip(".:"))
            if shape in (PREFIX, f"{PREFIX}/") or path.endswith("/"):
                continue
            assert shape in shapes, f"docs/{page} names {path}"
            assert not method or f"{method} {shape}" in known, f"docs/{page} names {method} {path}"


def test_the_page_of_the_admin_api_has_every_route_with_its_role():
    """The rows are those of `gateway.admin.routes`, in its order: a new route brings its row."""
    rows = re.findall(r"^\| `([A-Z]+ /[^`]*)` \| (\w+) \| (.*) \|$", TEXTS["admin-api.md"], re.M)
    assert rows == [(f"{route.method} {route.path}", route.role, route.summary) for route in ROUTES]
    assert KEY_REGEX in TEXTS["admin-api.md"]


def test_the_page_of_settings_has_every_setting_with_its_default():
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (.*?) \|", TEXTS["settings.md"], re.M))
    of_project = set(SettingsTold.__struct_fields__) - {"version", "updated_at", "updated_by"}
    assert set(rows) == of_project | set(Settings.__struct_fields__)
    for name in Settings.__struct_fields__:
        default = getattr(Settings(), name)
        assert rows[name] == ("none" if default is None else f"`{default}`"), name


def test_every_error_code_is_on_its_page_with_its_status():
    rows = [
        (int(status), code) for status, code in re.findall(r"^\| (\d{3}) \| `([a-z_]+)` \|", TEXTS["errors.md"], re.M)
    ]
    assert {code for _, code in rows} == tree_of_codes()
    assert {(STATUS[code], code) for code in STATUS} <= set(rows)
    assert {code for _, code in rows} - set(STATUS) == set(ELSEWHERE)


def test_every_header_of_ours_is_on_its_page():
    page = TEXTS["request-path.md"]
    source = "".join(path.read_text() for path in (ROOT / "gateway/proxy").glob("*.py"))
    ours = set(re.findall(r"x-optyx-[a-z-]+[a-z]", source))
    assert {name for name in ours if f"`{name}" not in page} == set()
    for name in answer.RELAYED:
        assert f"`{name}`" in page
    for name in re.findall(r"x-optyx-[a-z-]+[a-z]", page):
        assert name in ours, f"{name} is not a header"


def test_the_figures_of_failover_are_the_codes():
    page = TEXTS["tiers-and-failover.md"]
    assert f"**{records.MAX_ATTEMPTS} attempts**" in page
    assert f"**{exchange.MAX_PER_TARGET} on one**" in page
    rows = dict(re.findall(r"^\| `([a-z_]+_ms)` \| (\S+) \|", page, re.M))
    defaults = Timeouts()
    assert rows == {name: str(getattr(defaults, name) or "none") for name in Timeouts.__struct_fields__}


@pytest.mark.parametrize("path", [*PAGES, *README], ids=lambda path: path.name)
def test_every_command_that_a_page_names_exists(path):
    for code in in_code_marks(path.read_text()):
        for name in re.findall(r"(?:^|[\s$;&|(])optyx ([a-z][a-z-]*)", code):
            assert name in COMMANDS, f"{path.name}: optyx {name}"


@pytest.mark.parametrize("path", [*PAGES, *README], ids=lambda path: path.name)
def test_every_link_to_a_page_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
    for target in re.findall(r"(?<![\w/])docs/[\w./-]+\.md", path.read_text()):
        assert (ROOT / target).exists(), f"{path.name} names {target}"


def test_messages_that_send_a_reader_to_a_page_send_it_to_one_that_exists():
    for path in [*(ROOT / "gateway").rglob("*.py"), *(ROOT / "tui").rglob("*.py")]:
        for target in re.findall(r"docs/[\w./-]+\.md", path.read_text()):
            assert (ROOT / target).exists(), f"{path.relative_to(ROOT)} names {target}"
