"""The version, without reading the installation's metadata (which costs 20 ms at start). tests/test_packaging.py holds it to pyproject.toml."""

VERSION = "0.1.0"
