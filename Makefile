# The two commands of a newcomer: `make demo` and `make test`. Everything they need is installed into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test check lint types docs format bench soak clean

help:
	@echo "make demo    install the base package (no torch) and run the demo"
	@echo "make test    install what the tests need and run them all"
	@echo "make check   ruff, mypy (strict), spelling, documentation checks"
	@echo "make format  let ruff format and fix"
	@echo "make bench   run the benchmarks (prints ratios with their spread)"
	@echo "make soak    the long proofs: kill loops, eight cameras with faults for twenty minutes (root, GStreamer)"
	@echo "make bundle  train and export the shipped bundles again (needs the street photographs, STREET=...)"
	@echo "make ablation  measure what each part of the shipped model brings (after make bundle)"
	@echo "make clean   remove .venv and caches"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(BIN)/python pyproject.toml
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(PIP) -e '.[dev,train]'
	@touch $@ $(VENV)/.base

demo: $(VENV)/.base
	$(BIN)/onlooker demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest

check: lint types docs

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md docs src

types: $(VENV)/.dev
	$(BIN)/mypy

docs: $(VENV)/.dev
	$(BIN)/python scripts/check_docs.py

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.base
	$(BIN)/python benchmarks/bench_search.py

soak: $(VENV)/.dev
	ONLOOKER_SOAK=200 $(BIN)/python -m pytest tests/unit/gallery/test_crash.py
	ONLOOKER_SOAK=100 $(BIN)/python -m pytest tests/integration/test_watch.py -k killed
	$(BIN)/python -m tests.soak.soak_watch --cameras 8 --minutes 20

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The shipped bundles, made again from the street photographs (some three hours on two cores; goes on after a stop). `base` comes
# in five steps: the plain dual encoder `compact`, its towers trained on with region blocks (`towers`), the heads alone
# (`heads`), all together (`joint`), the image tower alone (`base`). `small` has a smaller image tower on the text tower of `base`.
STREET ?= ../shared/data/street_photos
BUNDLES := src/onlooker/bundles
.PHONY: bundle ablation
bundle: $(VENV)/.dev
	$(BIN)/onlooker prepare street $(STREET) -o runs/street.jsonl --val 300 --seed 0 --detect
	for step in compact towers heads joint base small; do \
	  $(BIN)/onlooker train $$step --data runs/street.jsonl -o runs/$$step --threads 1 || exit; done
	$(BIN)/onlooker export runs/base -o $(BUNDLES)/base --data runs/street.jsonl --licence Apache-2.0
	$(BIN)/onlooker export runs/small -o $(BUNDLES)/small --data runs/street.jsonl --licence Apache-2.0 \
	  --text-from $(BUNDLES)/base

# What each part of `base` brings: four variants with three seeds, short runs (about an hour; needs runs/compact).
ablation: $(VENV)/.dev
	$(BIN)/python scripts/ablate.py --data runs/street.jsonl --pedestrians runs/pedestrians.jsonl -o runs/ablation
