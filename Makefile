# `make demo` and `make test` are all a newcomer needs; both build .venv first where it is missing or out of date.
VENV ?= .venv
PYTHON ?= python3.11
BACKEND ?= pytorch
BIN := $(VENV)/bin
# Frameworks' thread pools spin against each other on small machines; one thread per process is faster in the suite.
TEST_ENV := OMP_NUM_THREADS=1 QT_QPA_PLATFORM=offscreen TF_CPP_MIN_LOG_LEVEL=2

.PHONY: demo test check lint types imports fuzz bench docs docs-check pictures matrix dist-check audit system-packages clean

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

# A file to a process, in the order of tests/conftest.py: xdist's own begins with the files of most tests, and those of
# few that take minutes come last.
test: $(VENV)/.installed system-packages
	$(TEST_ENV) $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: lint types imports docs-check docs test

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

docs: $(VENV)-docs/.installed
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --strict

docs-check: $(VENV)-docs/.installed
	$(VENV)-docs/bin/pydoclint ptychopinn_backend ptychodus_plugin

# Apart from the rest: its parser of docstrings and the one that Ptychodus' dependencies bring share a module name.
$(VENV)-docs/.installed: constraints.txt
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/pip install --quiet --constraint constraints.txt pydoclint mkdocs-material "mkdocstrings[python]"
	touch $@

# The pictures of docs/tour.md, by the commands of that page, and those of the window.
pictures: $(VENV)/.installed
	mkdir -p build/tour
	cd build/tour && ../../$(BIN)/ptychopinn simulate -o scan.npz --object siemens --patterns 200 --photons 1e6 --seed 0
	cd build/tour && ../../$(BIN)/ptychopinn train scan.npz -o model --backend pytorch --seed 0
	cd build/tour && ../../$(BIN)/ptychopinn infer model scan.npz -o result
	cd build/tour && ../../$(BIN)/ptychopinn demo --sparse -o sparse --backend pytorch
	cp build/tour/sparse/sparse.png docs/images/sparse.png
	cp build/tour/model/loss.png docs/images/tour_loss.png
	cp build/tour/result/reconstruction.png docs/images/tour_reconstruction.png
	$(TEST_ENV) $(BIN)/python -m tests.ptychodus.pictures docs/images

# Both ends of the version ranges; see docs/supply_chain.md.
matrix:
	PYTHON=$(PYTHON) .ci/matrix $(COLUMNS)

dist-check: $(VENV)-dist/.installed
	PYTHON=$(PYTHON) TOOLS=$(VENV)-dist .ci/dist-check

audit: $(VENV)-dist/.installed
	$(VENV)-dist/bin/pip-audit --requirement constraints.txt --disable-pip --no-deps --strict --progress-spinner off

$(VENV)-dist/.installed: constraints.txt
	$(PYTHON) -m venv $(VENV)-dist
	$(VENV)-dist/bin/pip install --quiet --constraint constraints.txt build twine pip-audit
	touch $@

# Libraries of the offscreen GUI tests and the browser that looks at pages; only where this user may install them.
system-packages:
	@bash .ci/system-packages

clean:
	rm -rf $(VENV) $(VENV)-docs $(VENV)-dist $(VENV)-matrix demo_output build dist site
