# Two commands do all the set-up: `make book` and `make test`. Both can be run again at any time.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
BENCH  := .venv-bench
# LOCKED=1 installs the very files that requirements.lock names, by their hashes.
READY  := $(VENV)/.ready$(if $(LOCKED),-locked)
WANTED := $(if $(LOCKED),--require-hashes -r requirements.lock,-r requirements.txt)
PAGE   := _build/html/index.html
BUILT  := _build/notebooks
ZIP    := _build/pinnedu-book.zip

# One thread: as fast as two for models this small, the same rounding everywhere, and no waiting for each other
# where something else runs (two threads were measured ten times slower there).
NOTEBOOKS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 PINNEDU_PROGRESS=0 JUPYTER_PLATFORM_DIRS=1
TOOLS     := $(BIN)/python book/_tools

# So two run at a time, and two tests.
WORKERS ?= 2
# The plugin of the notebooks costs each worker as much to load as torch does: only they get it. Without its bytecode each
# process compiles the package and the tests anew.
NBVAL   := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadscope
PYTEST  := $(NBVAL) -p no:nbval

say = @printf '\n==> %s\n' $(1)

.DEFAULT_GOAL := help
.PHONY: help install book zip build test lint unit pages notebooks fuzz lab execute studies gallery shake bench gpu lock clean

help:  ## show this list
	@echo "make book       build the book and say where to open it (installs what is missing)"
	@echo "make zip        the built book with its notebooks in one file, to hand out; it needs no network"
	@echo "make test       lint, unit tests, strict build, contract of each chapter, every number in it"
	@echo "make fuzz       hand wrong arguments, drawn anew each time, to every public call; EXAMPLES=2000 of each kind"
	@echo "make lab        the chapters in JupyterLab, in notebooks/: yours to change, and what you changed stays"
	@echo "make execute    run every chapter again and store its outputs; ONLY=heat for one"
	@echo "make studies    run what is missing of the experiments that chapters read; ONLY=failures for one"
	@echo "make gallery    the gallery under one recipe (hours; goes on where it stopped); ONLY=wave for one, SECONDS=10 to try, LOOK=1 for the first look"
	@echo "make shake      do their claims hold with other seeds and other rounding? ONLY=failures SEEDS=10..14"
	@echo "make bench      pinnedu beside other libraries and classical solvers (hours; goes on where it stopped); OPTIONS=--quick for a look"
	@echo "make gpu        all that needs a GPU, in eight minutes, with nothing installed; DEVICE=cpu for a dry run of one"
	@echo "make lock       write requirements.lock anew, from requirements.txt and the index of PyPI"
	@echo "make clean      remove the built book and every cache; the environment stays"

install: $(READY)

$(READY): requirements.txt requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed; '$(PYTHON)' is none. Name one: make book PYTHON=python3.12"; exit 1; }
	$(call say,"Installing into $(VENV) (about two minutes the first time)")
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check $(WANTED)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

book: build  ## build the book and say where to open it
	@printf '\nThe book is ready. Open it in a browser: file://%s\n' "$(CURDIR)/$(PAGE)"

zip: build  ## an offline copy of the book, with its notebooks
	$(call say,"Packing the book and its notebooks")
	@$(TOOLS)/pack.py $(ZIP)
	@printf 'Packed: %s\n' "$(CURDIR)/$(ZIP)"

# Always all pages: an incremental build keeps stale numbers on pages that quote another chapter.
build: $(READY)
	$(call say,"Building the book: every warning is an error")
	@rm -rf _build
	@$(BIN)/jupyter-book build . -W -n --keep-going --all --quiet >/dev/null

test: lint unit build pages notebooks
	@printf '\nEverything passed.\n'

lint: $(READY)
	$(call say,"Lint and types")
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(TOOLS)/audit.py

unit: $(READY)
	$(call say,"Unit tests of the package")
	@$(PYTEST) --ignore=tests/book --ignore=tests/browser

pages: $(READY)
	$(call say,"Contract of each chapter and the built pages in a browser without a network")
	@$(PYTEST) tests/book
	@$(PYTEST) --dist loadgroup tests/browser

notebooks: $(READY)
	$(call say,"Every chapter again: are its printed numbers still true?")
	@chapters=$$($(TOOLS)/chapters.py) && \
	  $(NOTEBOOKS) $(NBVAL) --nbval --nbval-current-env -W default \
	  --nbval-sanitize-with tests/book/nbval.ini $$chapters

EXAMPLES ?= 2000

fuzz: $(READY)
	$(call say,"$(EXAMPLES) calls of each kind with arguments drawn anew")
	@PINNEDU_FUZZ=$(EXAMPLES) $(PYTEST) tests/test_front_door.py

lab: $(READY)  ## one thread: as fast for small models
	@test -d $(BUILT) || $(MAKE) build
	$(call say,"Opening JupyterLab on notebooks/")
	@$(TOOLS)/reader.py notebooks
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/jupyter lab notebooks

execute: $(READY)
	$(call say,"Running the chapters and storing their outputs")
	@for chapter in $(or $(ONLY),$$($(TOOLS)/chapters.py)); do basename $$chapter .ipynb; done | \
	  $(NOTEBOOKS) xargs -n 1 -P $(WORKERS) $(TOOLS)/execute.py

# Both go on where they stopped. A run has one thread unless it is shaken, so that the results do not depend on the number of cores.
studies: $(READY)
	$(call say,"Studies: what is missing of them; then what is true of their results")
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(TOOLS)/studies.py $(ONLY)

gallery: $(READY)
	$(call say,"The gallery: what is missing of it")
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(TOOLS)/gallery.py $(ONLY) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(LOOK),--look)

# ONLY=chapters runs the chapters themselves under each rounding, ONLY="chapters heat" one of them.
shake: $(READY)
	$(call say,"Do the claims hold with other seeds and other rounding?")
	@$(TOOLS)/shake.py $(ONLY) $(if $(SEEDS),--seeds $(SEEDS))

# The stored results, which the book shows, lie in benchmarks/results: a new run does not touch them unless asked to.
RESULTS ?= benchmarks/mine

bench: $(BENCH)/.ready
	$(call say,"Tuning on four problems and then every system on ten others (what is done is not run again)")
	@$(BENCH)/bin/python benchmarks/run.py --results $(RESULTS) $(OPTIONS)
ifneq (,$(findstring --quick,$(OPTIONS)))
	@$(BENCH)/bin/python benchmarks/table.py --results $(RESULTS)/quick
else
	$(call say,"Costs of derivatives and of steps; starting each system (half an hour)")
	@test -s $(RESULTS)/derivatives.json || $(BENCH)/bin/python benchmarks/derivatives.py --json $(RESULTS)/derivatives.json
	@test -s $(RESULTS)/accuracy.json || $(BENCH)/bin/python benchmarks/accuracy.py --json $(RESULTS)/accuracy.json
	@test -s $(RESULTS)/compile.json || $(BENCH)/bin/python benchmarks/compile.py --json $(RESULTS)/compile.json
	@test -s $(RESULTS)/costs.json || $(BENCH)/bin/python benchmarks/costs.py --json $(RESULTS)/costs.json
	$(call say,"Tables and figure")
	@$(BENCH)/bin/python benchmarks/table.py --results $(RESULTS)
endif

# On a machine with a GPU that is lent for minutes its own Python is used, as it is.
DEVICE ?= cuda
DRY := $(filter cpu,$(DEVICE))

gpu: $(if $(GPU_PYTHON),,$(if $(DRY),$(READY)))
	@PYTHONPATH=.$${PYTHONPATH:+:$$PYTHONPATH} $(or $(GPU_PYTHON),$(if $(DRY),$(BIN)/python,python3)) benchmarks/gpu.py \
	  --device $(DEVICE) $(if $(ONLY),--only $(ONLY)) $(if $(GPU_RESULTS),--results $(GPU_RESULTS))

$(BENCH)/.ready: benchmarks/requirements.txt
	$(call say,"Installing the other libraries into $(BENCH) (some minutes)")
	@test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/python -m pip install -qq --disable-pip-version-check "$$(grep '^torch==' benchmarks/requirements.txt)"
	@$(BENCH)/bin/python -m pip install -qq --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@

lock: $(READY)
	$(call say,"Writing requirements.lock")
	@$(TOOLS)/lock.py

clean:
	$(call say,"Removing the built book and the caches")
	@rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis .jupyter_cache build
	@find . \( -path ./$(VENV) -o -path ./$(BENCH) \) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
