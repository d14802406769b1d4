# Everything here works with nothing on the PATH but Python, make and sh.
PYTHON ?= python3
RUN = PYTHON='$(PYTHON)' sh requirements/install.sh run
DEV = PYTHON='$(PYTHON)' sh requirements/install.sh dev
PY = .venv/bin/python

.PHONY: help demo up tui test test-all check format bench locks locks-current
.DEFAULT_GOAL := help

help:  ## these lines
	@$(PYTHON) -c "import re; [print('make %-10s %s' % m.groups()) for m in re.finditer(r'^([a-z-]+):.*?## (.*)$$', open('Makefile').read(), re.M)]"

demo:  ## a gateway with invented answers on port 4000; Ctrl-C stops all of it
	@$(RUN)
	@$(PY) -m tui.cli demo

up:  ## a real gateway on port 4000; providers come from the environment
	@$(RUN)
	@$(PY) -m tui.cli up

tui:  ## the dashboard of a gateway that runs
	@$(RUN)
	@$(PY) -m tui.launch

test:  ## every quick test, on a real Postgres and a real Valkey that it starts itself
	@$(DEV)
	@$(PY) -m pytest -n 2 --dist loadfile

test-all:  ## the quick and the long tests
	@$(DEV)
	@$(PY) -m pytest -m '' --timeout 900

check: locks-current  ## what CI checks: format, lint, types, locks, tests
	@$(DEV)
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) -m pytest -n 2 --dist loadfile

format:  ## lay the code out
	@$(DEV)
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

bench:  ## measure what a call costs, on this machine
	@$(DEV)
	@$(PY) -m bench

locks:  ## lock the newest allowed versions anew
	@$(DEV)
	@$(PY) requirements/lock.py --upgrade

locks-current:  ## do the locks fit pyproject.toml?
	@$(DEV)
	@$(PY) requirements/lock.py --check
