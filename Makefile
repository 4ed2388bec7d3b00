# `make quickstart` runs the whole workflow, `make test` all checks and tests. Both first create their own
# environment; only Python packages are downloaded.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
RUN := runs/quickstart
# Several processes share the cores: more threads in each of them is slower, not faster.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM := false

.PHONY: install quickstart test lint clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "SoundFlow needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	@echo "installing Python packages into $(VENV); this takes some minutes and says nothing until it has ended"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[voices,asr,serve,lora,benchmarks,tensorboard,dev]'
	touch $@

quickstart: install
	$(BIN)/soundflow build-data recipes/quickstart/build.yaml
	$(BIN)/soundflow train recipes/quickstart/train.yaml
	$(BIN)/soundflow infer recipes/quickstart/infer.yaml
	$(BIN)/soundflow evaluate recipes/quickstart/evaluate.yaml

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A process a core, four at most: each loads torch and holds its own checkpoints. `worksteal` hands
# the slow tests of one process to another that has finished. librosa compiles functions when they are
# first imported; several processes that do so at once can leave a cache that crashes whoever reads it.
test: lint
	$(BIN)/python -c 'import librosa.onset'
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal

clean:
	rm -rf $(VENV) runs
