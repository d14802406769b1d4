"""Every statement of ours is prepared on the migrated schema: a column that was renamed is noticed here, and not in production."""

import importlib
import pkgutil
import re
from pathlib import Path

import gateway.store

FRAGMENTS = {"log_rows.WITH_NAMES", "log_search.COUNT", "log_tail.ROWS"}
"""Parts that are no statement alone; what is put together from them is run by tests/admin/test_logs.py and test_tail.py."""

SQL = re.compile(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE|LOCK)\b")


def texts(module):
    """Name and text of every constant that holds SQL."""
    for name, value in vars(module).items():
        for part, text in value.items() if isinstance(value, dict) else [("", value)]:
            if name.isupper() and isinstance(text, str) and SQL.match(text):
                yield f"{module.__name__.rpartition('.')[2]}.{name} {part}".strip(), text


def statements():
    """A constant that is part of a longer one is prepared with that."""
    for found in pkgutil.iter_modules(gateway.store.__path__):
        named = dict(texts(importlib.import_module(f"gateway.store.{found.name}")))
        for name, text in named.items():
            if name not in FRAGMENTS and not any(text in longer and text != longer for longer in named.values()):
                yield name, text


async def test_every_statement_is_prepared_on_the_migrated_schema(connection):
    wrong, count = {}, 0
    await connection.execute("CREATE TEMP TABLE staging (LIKE request_logs)")
    for name, text in statements():
        count += 1
        try:
            await connection.prepare(text)
        except Exception as error:
            wrong[name] = str(error)
    assert wrong == {}
    assert count > 120


async def test_every_table_is_on_the_page_of_the_data_model(connection):
    tables = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND NOT relispartition"
    )
    text = (Path(__file__).parent.parent / "docs/data-model.md").read_text()
    named = set(re.findall(r"`([a-z_]+)`", text))
    assert {row[0] for row in tables if not row[0].startswith(("_yoyo", "yoyo"))} - named == set()
