# A few words, which `make help` lists. Each sets up what it needs in .venv by itself.
# Another interpreter: make test PYTHON=python3.13

PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
BIN := .venv/bin
# Where every random test begins. The same number draws the same cases, so that what passed once passes again;
# others are explored by `make test SEED=$RANDOM`.
SEED := 1
# How many processes run the tests: a number, or one for each core.
JOBS := auto
CORE := .venv/.core
DEV := .venv/.dev
PYTEST := OUTLAST_SEED=$(SEED) $(BIN)/pytest --hypothesis-seed=$(SEED) --randomly-seed=$(SEED)

# Tests start hundreds of interpreters; without bytecode each would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.NOTPARALLEL:
.PHONY: help demo test quick bench bench-versions bench-peers bench-temporal crash soak lint types pyright imports

help:
	@echo "make demo    run the example workflow"
	@echo "make test    everything that must hold: style, types, import directions, all tests"
	@echo "make quick   the developers' loop: style, types, fast tests"
	@echo "make bench   measure"
	@echo "make bench-versions BASE=REVISION  measure beside an earlier version"
	@echo "make bench-peers  measure beside DBOS, LangGraph and Temporal"
	@echo "make bench-temporal  measure beside hand-written Temporal workflows"
	@echo "make crash   every kind of workflow with a crash at each of its commits, simulated and by SIGKILL: five minutes (SHORT=1: a part)"
	@echo "make soak    kill and stop processes at random for ten minutes, and count what is lost"

demo: $(CORE)
	$(BIN)/python examples/census/demo.py

# What measures memory and time against itself runs alone, after everything else.
ALONE := tests/load tests/soak
# Many tests have real servers and processes, which other tests may starve on a small machine: what failed beside others
# must hold by itself. Nothing else is forgiven: not an error of collection, not a run that was cut off.
AGAIN = $(PYTEST) --last-failed --last-failed-no-failures none $(ALONE:%=--ignore=%)

test: lint types pyright imports
	$(PYTEST) --numprocesses $(JOBS) --dist worksteal $(ALONE:%=--ignore=%) \
	  || { [ $$? -eq 1 ] && $(AGAIN); }
	$(PYTEST) $(ALONE)

# For each test a thread that watches for a hang and new seeds cost more than many of these tests: somebody sits in front
# of them who sees a hang, and `make test` has both.
# And they wait more than they compute: half as many processes again as there are cores.
quick: JOBS := $(shell echo $$(( ($$(getconf _NPROCESSORS_ONLN) * 3 + 1) / 2 )))
quick: lint types
	$(PYTEST) -m "not slow" --hypothesis-profile=quick --override-ini faulthandler_timeout=0 --randomly-dont-reset-seed \
	  --numprocesses $(JOBS) --dist worksteal

bench-peers: $(CORE) .venv-peers/.ready
	.venv-peers/bin/python -m benchmarks --peers

.venv-peers/.ready: pyproject.toml benchmarks/peers/requirements.txt | $(BIN)/python
	$(BIN)/python -m venv --clear .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --editable . -r benchmarks/peers/requirements.txt
	@touch $@

bench-temporal: $(DEV)
	$(BIN)/python -m benchmarks.temporal

crash: $(CORE)
	PYTHONPATH=tests $(BIN)/python -m crash $(if $(SHORT),--short)

soak: $(CORE)
	$(BIN)/python -m soak

bench: $(CORE)
	$(BIN)/python -m benchmarks

# The revision to compare with: make bench-versions BASE=v0.1.0
BASE := HEAD~1
bench-versions: $(CORE)
	$(BIN)/python -m benchmarks.versions $(BASE)

lint: $(DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(DEV)
	$(BIN)/mypy src $(wildcard tests/typing)

pyright: $(DEV)
	$(BIN)/pyright --project .

imports: $(DEV)
	$(BIN)/lint-imports --no-logo

$(CORE): pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV): pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(CORE) $@

$(BIN)/python:
	@for python in $(PYTHONS); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "$$python -m venv .venv"; \
	    $$python -m venv --clear .venv && exit 0; \
	    rm -rf .venv; \
	    echo "$$python cannot create .venv (message above); on Debian: apt-get install python3-venv" >&2; \
	    exit 1; \
	  fi; \
	done; \
	echo "Outlast needs Python 3.11 or newer; none of these is: $(PYTHONS). Name one: make PYTHON=/path/to/python" >&2; \
	exit 1
