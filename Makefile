# Everything runs in .venv, made here from PyPI. The only needs: Python 3.11 or newer, make, and package registries.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test check typing lint up simulate mutants chaos certify bench bench-quick profile traffic sdk-tests readme dev clean
help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: .stamps/package ## a real agent on embedded SQLite, continued by a second process
	@$(BIN)/python -m eventlog_session.demo

test: .stamps/dev lint typing check ## lint, types and all tests, on a real daprd with Redis and PostgreSQL

check: .stamps/dev ## the tests, against the built wheel
	$(BIN)/pip install -q --no-deps --force-reinstall .
	PYTHONPATH=tests $(BIN)/python -P -m rig build
	PYTHONSAFEPATH=1 $(BIN)/coverage run -m pytest $(ARGS)  # else the tree would be tested, not the wheel
	$(BIN)/coverage report

lint: .stamps/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typing: .stamps/dev
	$(BIN)/mypy

up: .stamps/servers ## daprd with Redis in the foreground, on Dapr's default ports
	@PYTHONPATH=tests $(BIN)/python -P -m rig up $(ARGS)

simulate: .stamps/dev ## the commit protocol under faults in virtual time: 40,000 schedules, or ARGS="--profile redis --seed 7"
	PYTHONPATH=.:tests $(BIN)/python -P -m simulation $(or $(ARGS),--schedules 40000 --results benchmarks/results/simulation.md)

mutants: .stamps/dev ## each guard of the protocol taken away in turn, and the test that notices
	PYTHONPATH=.:tests $(BIN)/python -P -m mutants

bench: .stamps/dev ## against DaprSession through the same daprd, half an hour: writes benchmarks/results/full.*
	$(BIN)/pip install -q --no-deps --force-reinstall .
	PYTHONPATH=tests:benchmarks $(BIN)/python -P benchmarks/run.py $(ARGS)

bench-quick: .stamps/dev ## the core of it in three minutes: writes benchmarks/results/quick.*
	$(BIN)/pip install -q --no-deps --force-reinstall .
	PYTHONPATH=tests:benchmarks $(BIN)/python -P benchmarks/run.py --quick

profile: .stamps/dev ## where the time of an add and of a get goes: writes benchmarks/results/profile.md
	$(BIN)/pip install -q --no-deps --force-reinstall .
	PYTHONPATH=tests:benchmarks $(BIN)/python -P benchmarks/profile_hot.py

traffic: .stamps/dev ## count round trips and bytes anew, after a change that is meant: writes tests/golden/traffic.json
	PYTHONPATH=.:tests $(BIN)/python -P tests/test_traffic.py

certify: .stamps/dev ## ask every store the rig has how it behaves: writes benchmarks/results/certify/
	PYTHONPATH=tests:. $(BIN)/python -P -m rig certify $(ARGS)

chaos: .stamps/dev ## real faults for ten minutes (CHAOS_SECONDS=n): writes benchmarks/results/chaos.*
	$(BIN)/pip install -q --no-deps --force-reinstall .
	PYTHONPATH=tests $(BIN)/python -P -m chaos --seconds $(or $(CHAOS_SECONDS),600) $(ARGS)

sdk-tests: .stamps/dev ## the Agents SDK's own session tests, from its sdist, against EventLogSession
	PYTHONPATH=tests $(BIN)/python -P tests/sdk/run.py $(ARGS)

readme: .stamps/dev ## put the newest results, and what the commands print, into the README
	$(BIN)/pip install -q --no-deps --force-reinstall .
	PYTHONPATH=tests:benchmarks $(BIN)/python -P benchmarks/readme.py

dev: .stamps/dev

.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	@echo "setting up .venv (about a minute the first time)" >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -q --upgrade "pip>=25.1"

.stamps/package: .venv pyproject.toml $(shell find eventlog_session -name '*.py' 2>/dev/null)
	@$(BIN)/pip install -q .
	@mkdir -p .stamps && touch $@

.stamps/servers: .venv pyproject.toml
	@$(BIN)/pip install -q --group servers .
	@mkdir -p .stamps && touch $@

.stamps/dev: .venv pyproject.toml
	@echo "installing what the tests need" >&2
	@$(BIN)/pip install -q --group dev .
	@mkdir -p .stamps && touch $@

clean:
	rm -rf .venv .stamps build dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
