# make quickstart ARGS="--seeds 3"   make bench ARGS=--quick   make PYTHON=python3.12 install
PYTHON ?= python3
RUN := .venv/bin/python
ARGS ?=
# These measure nothing: results.py writes pages of finished runs, the others are imported by benchmarks.
NO_BENCHMARKS := $(addprefix benchmarks/,results.py timing.py initial_weights.py language_pairs.py)
BENCHMARKS := $(filter-out $(NO_BENCHMARKS),$(wildcard benchmarks/*.py))

.PHONY: install quickstart test test-slow test-faults wheel-test lint bench docs

install: .venv/.installed

# The stamp is newer than what it was made from, so an install happens once and again after a change of pins.
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit('The versions in constraints.txt need Python 3.11 or newer; $(PYTHON) is ' + sys.version.split()[0] + '. Name another: make PYTHON=python3.12' if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install -c constraints.txt -e ".[quickstart,sweep,dev]"
	@touch $@

.venv/.installed-docs: .venv/.installed
	$(RUN) -m pip install -c constraints.txt -e ".[docs]"
	@touch $@

quickstart: install
	$(RUN) recipes/quickstart.py $(ARGS)

test: install
	$(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: install
	$(RUN) -m pytest -m slow $(ARGS)

# Some minutes; the seed is printed, and the same command continues: make test-faults ARGS="--seed 7 --cases 300"
test-faults: install
	$(RUN) -m tests.faults.suite $(ARGS)

# The wheel in an empty environment, without extras: make wheel-test PYTHON=python3.13 ARGS=-U takes the newest versions.
wheel-test:
	rm -rf build/wheel-test
	$(PYTHON) -m venv build/wheel-test
	build/wheel-test/bin/python -m pip wheel -q --no-deps -w build/wheel-test/wheel .
	build/wheel-test/bin/python -m pip install -q $(if $(ARGS),$(ARGS),-c constraints.txt) build/wheel-test/wheel/*.whl
	cd build/wheel-test && bin/python -I ../../tests/wheel.py

lint: install
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

bench: install
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(RUN) $$script $(ARGS); done

docs: .venv/.installed-docs
	$(RUN) -m mkdocs build --strict
