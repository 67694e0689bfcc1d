# Every target sets up what it needs; `make help` lists them.
STUDY ?= quickstart
OUTPUT ?= runs/$(basename $(notdir $(STUDY)))
PYTHON ?= python3
PORT ?= 8080
KILLS ?= 30
SECONDS ?= 60
MINUTES ?= 60
BIN := .venv/bin
HPSEARCH := $(BIN)/hpsearch
STAMP := .venv/.installed
CLUSTER := .venv/.installed-cluster

SEARCH_OPTIONS := $(if $(DATA),--data "$(DATA)") $(if $(TRIALS),--trials $(TRIALS)) \
  $(if $(HOURS),--hours $(HOURS)) $(if $(WORKERS),--workers $(WORKERS)) \
  $(if $(DEVICE),--device $(DEVICE)) $(if $(SAMPLER),--sampler $(SAMPLER)) \
  $(if $(PRUNER),--pruner $(PRUNER)) $(if $(SEED),--seed $(SEED)) $(if $(FROM),--from "$(FROM)") \
  $(if $(EXECUTOR),--executor $(EXECUTOR)) $(if $(ADDRESS),--address "$(ADDRESS)") \
  $(if $(STORAGE),--storage "$(STORAGE)")
DATA_OPTION := $(if $(DATA),--data "$(DATA)")

.PHONY: help install install-cluster search status dashboard report baselines confirm export retrain evaluate bench bench-search drill fuzz soak lint typecheck test check clean
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.11")'
	@echo "setting up .venv (once; torch is large)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(CLUSTER): $(STAMP)
	@echo "adding Ray and psycopg to .venv (once)"
	@$(BIN)/python -m pip install -q -q --disable-pip-version-check -c constraints.txt -e '.[dev,ray,postgres]'
	@touch $@

install-cluster: $(CLUSTER) ## Also install Ray and psycopg, for clusters and for the tests

install: $(STAMP) ## Make .venv and install hpsearch into it

search: $(STAMP) ## Search STUDY into OUTPUT; the same command continues
	@$(HPSEARCH) search "$(STUDY)" $(SEARCH_OPTIONS) --output "$(OUTPUT)"

status: $(STAMP) ## Say where the study stands
	@$(HPSEARCH) status "$(OUTPUT)"

dashboard: $(STAMP) ## Browse the study on 127.0.0.1:PORT
	@$(HPSEARCH) dashboard "$(OUTPUT)" --port $(PORT)

report: $(STAMP) ## Write OUTPUT/report.html, one page that needs no network
	@$(HPSEARCH) report "$(OUTPUT)"

baselines: $(STAMP) ## Score pixels and Hausdorff distance on the sealed one-shot tasks
	@$(HPSEARCH) baselines $(DATA_OPTION)

confirm: $(STAMP) ## Train the best configurations again, with fresh seeds on fresh tasks
	@$(HPSEARCH) confirm "$(OUTPUT)" $(if $(TOP),--top $(TOP)) $(if $(SEEDS),--seeds $(SEEDS)) \
	  $(if $(WORKERS),--workers $(WORKERS)) $(if $(DEVICE),--device $(DEVICE))

export: $(STAMP) ## Write the best configuration to OUTPUT/best.yaml
	@$(HPSEARCH) export "$(OUTPUT)"

retrain: $(STAMP) ## Train OUTPUT/best.yaml in full into OUTPUT/model
	@$(HPSEARCH) retrain "$(OUTPUT)/best.yaml" $(DATA_OPTION) --output "$(OUTPUT)/model"

evaluate: $(STAMP) ## Score OUTPUT/model on the sealed one-shot tasks
	@$(HPSEARCH) evaluate "$(OUTPUT)/model" $(DATA_OPTION)

bench: $(STAMP) ## Measure how fast trials learn into build/bench-trials.json; 40 minutes
	@$(BIN)/python -m benchmarks.bench $(DATA_OPTION)

bench-search: $(STAMP) ## Replay the default, random search and one drawn set-up (TABLE, SPACE: on another table)
	@$(BIN)/python -m benchmarks.search_bench $(if $(TABLE),--table "$(TABLE)" --space "$(SPACE)") \
	  $(if $(SEEDS),--seeds $(SEEDS))

drill: $(STAMP) ## Kill a search KILLS times and look for anything lost
	@$(BIN)/python -m benchmarks.drill --kills $(KILLS)

fuzz: $(STAMP) ## Feed every parser damaged files, SECONDS each
	@$(BIN)/python -m benchmarks.fuzz --seconds $(SECONDS)

soak: $(STAMP) ## An hour of drills, fuzzing and a fault at every write
	@$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

lint: $(STAMP) ## Check the style
	@$(BIN)/ruff check .

typecheck: $(CLUSTER) ## Check the types
	@$(BIN)/mypy

test: $(CLUSTER) ## Run the tests, in two processes
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

check: lint typecheck test ## What CI runs

clean: ## Remove .venv and what tools left; studies in runs/ stay
	@rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
