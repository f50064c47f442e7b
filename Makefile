# `make demo` and `make test` are all a newcomer needs; both build .venv first where it is missing or out of date.
VENV ?= .venv
PYTHON ?= python3.11
BACKEND ?= pytorch
BIN := $(VENV)/bin
# Frameworks' thread pools spin against each other on small machines; one thread a process is faster in the suite.
TEST_ENV := OMP_NUM_THREADS=1 QT_QPA_PLATFORM=offscreen TF_CPP_MIN_LOG_LEVEL=2

.PHONY: demo test check lint types imports fuzz bench docs-check system-packages clean

# The demo needs one framework only; everything else comes with the tests.
DEMO_EXTRA := $(if $(filter tensorflow,$(BACKEND)),tensorflow,torch)

$(VENV)/.$(DEMO_EXTRA): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[$(DEMO_EXTRA)]"
	touch $@

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[all,dev]"
	touch $@ $(VENV)/.torch $(VENV)/.tensorflow

demo: $(VENV)/.$(DEMO_EXTRA)
	$(BIN)/ptychopinn demo -o demo_output --backend $(BACKEND)

test: $(VENV)/.installed system-packages
	$(TEST_ENV) $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: lint types imports docs-check test

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

imports: $(VENV)/.installed
	$(BIN)/lint-imports

# Hours: every format with 20,000 mutated inputs, and 200 kills.
fuzz: $(VENV)/.installed
	FUZZ_INPUTS=20000 FAULT_KILLS=200 $(TEST_ENV) $(BIN)/python -m pytest tests/fuzz tests/faults --timeout=20000

# Under ten minutes on two idle cores; writes benchmarks/results/latest.{json,md}.
bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

docs-check: $(VENV)-docs/bin/pydoclint
	$(VENV)-docs/bin/pydoclint ptychopinn_backend ptychodus_plugin

# Apart from the rest: its parser of docstrings and the one that Ptychodus' dependencies bring share a module name.
$(VENV)-docs/bin/pydoclint: constraints.txt
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/pip install --quiet --constraint constraints.txt pydoclint
	touch $@

# Libraries the offscreen GUI tests need; only where this user may install them.
system-packages:
	@bash .ci/system-packages

clean:
	rm -rf $(VENV) $(VENV)-docs demo_output build dist
