# Everything starts here; scripts/setup.sh makes .venv and names (or, with the rights for it, installs) missing packages.
SHELL := /bin/bash
BIN := .venv/bin
JOBS := $(shell nproc)
PYTEST := $(BIN)/python -m pytest

.PHONY: help setup demo demo-federation test check format test-real test-tex test-federation soak bench clean-venv
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
	@echo "make soak        long randomised runs"
	@echo "make bench       null and full builds against ninja"
	@echo "make clean-venv  remove .venv"

setup:
	@scripts/setup.sh

demo: setup
	$(BIN)/cpods rebuild --until-stable -C examples/book
	@echo "The document: examples/book/book.pdf"

demo-federation: setup
	$(BIN)/python scripts/demo_federation.py

# Tests of one file stay in one process: some share what they built.
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

soak: setup
	$(PYTEST) -n $(JOBS) --dist loadfile -m soak --timeout 5400

bench: setup
	$(BIN)/python -m benchmarks overhead

clean-venv:
	rm -rf .venv
