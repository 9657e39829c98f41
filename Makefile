# Everything starts here; scripts/setup.sh makes .venv and names (or, with the rights for it, installs) missing packages.
SHELL := /bin/bash
BIN := .venv/bin
JOBS := $(shell nproc)
PYTEST := $(BIN)/python -m pytest

.PHONY: help setup demo demo-federation test check format test-real test-tex test-federation test-benchmarks soak bench bench-quick setup-benchmarks clean-venv
.DEFAULT_GOAL := help

help:
	@echo "make demo        build examples/book, a document with a circle through a program"
	@echo "make demo-federation  a broker and four pods on this machine build two examples, as one machine would"
	@echo "make test        all tests but the long ones"
	@echo "make check       format, ruff, mypy, import-linter, tests: what a commit must pass"
	@echo "make format      let ruff format the code"
	@echo "make test-real   real documents and projects (many minutes)"
	@echo "make test-tex    documents of all TeX engines and helpers, ConTeXt's own among them (many minutes)"
	@echo "make test-federation  whole federations: same answers on 1 to 8 pods, faults of every kind (many minutes)"
	@echo "make test-benchmarks  tests that need the extra benchmarks: WfCommons' generators, plots"
	@echo "make soak        long randomised runs"
	@echo "make bench-quick  the benchmarks' small forms, for a change (less than five minutes)"
	@echo "make bench       all benchmarks in full, then docs/benchmarks.md (hours)"
	@echo "make clean-venv  remove .venv"

setup:
	@scripts/setup.sh

setup-benchmarks:
	@scripts/setup.sh benchmarks

demo: setup
	$(BIN)/cpods rebuild --until-stable -C examples/book
	@echo "The document: examples/book/book.pdf"

demo-federation: setup
	$(BIN)/python scripts/demo_federation.py

# Tests of one file stay in one process: some share what they built (but for walks: tests/helpers/spreading.py).
test: setup
	$(PYTEST) -n $(JOBS) --dist loadfile

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(PYTEST) -n $(JOBS) --dist loadfile

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test-real: setup
	$(PYTEST) -n $(JOBS) --dist loadfile -m "real or corpus_all" --timeout 3600

test-tex: setup
	$(PYTEST) -n $(JOBS) --dist loadfile -m tex --timeout 1800

# One lab after the other: each is a broker and up to eight pods.
test-federation: setup
	$(PYTEST) -n $(JOBS) --dist loadfile -m federation --timeout 1800

# WfCommons (GPL-3.0) and matplotlib are in the extra only.
test-benchmarks: setup-benchmarks
	$(PYTEST) -n $(JOBS) --dist loadfile -m benchmarks --timeout 600

soak: setup
	$(PYTEST) -n $(JOBS) --dist loadfile -m soak --timeout 5400

bench: setup-benchmarks
	$(BIN)/python -m benchmarks run all; failed=$$?; $(BIN)/python -m benchmarks report && exit $$failed

bench-quick: setup-benchmarks
	$(BIN)/python -m benchmarks run overhead toolruns locate simulate scale --quick

clean-venv:
	rm -rf .venv
