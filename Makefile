# `make demo` and `make test` are all a newcomer needs; each sets up .venv first.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEV := .venv/.installed-for-development

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench evidence docs pictures clean

help:  ## what can be made here
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt --editable .
	touch $(STAMP)

$(DEV): $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt --editable '.[dev]'
	touch $(DEV)

demo: $(STAMP)  ## the main job on simulated abdomens: make, check, train, predict, evaluate, report
	$(BIN)/saccade demo

test: $(DEV)  ## the tests
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile

lint: $(DEV)  ## formatting, lint and types
	$(BIN)/ruff format --check src tests benchmarks evidence docs
	$(BIN)/ruff check src tests benchmarks evidence docs
	$(BIN)/mypy

format: $(DEV)  ## put the code into the project's format
	$(BIN)/ruff format src tests benchmarks evidence docs
	$(BIN)/ruff check --fix src tests benchmarks evidence docs

bench: $(DEV)  ## side-by-side timings, printed as ratios
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

evidence: $(DEV)  ## evidence of one system: make evidence SYSTEM=attention-unet DATA=path
	$(BIN)/python evidence/make.py $(SYSTEM) $(if $(DATA),--data $(DATA))

# The variable keeps back Material's notice of the year in which it ends, which is no warning about these pages.
docs: $(DEV)  ## the documentation as a site: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

pictures: $(DEV)  ## pictures and tables of the documentation, made by the code
	$(BIN)/python docs/make_pictures.py

clean:  ## remove the environment and all that was made
	rm -rf .venv build dist demo site
