# `make demo`: score the embedded example.  `make quick`: test the core in a minute.  `make test`: run every check.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RESULTS := demo-results
# What depends on other packages most: conversion of models, recording, files of all kinds.
LOWEST_TESTS := tests/test_core_golden.py tests/test_core_rules.py tests/test_core_capture.py \
	tests/test_core_verification.py tests/test_models*.py tests/test_cli_scores.py tests/test_cli_inputs.py \
	tests/test_merge.py tests/test_sequences_*.py tests/test_outputs_*.py tests/test_references_*.py \
	tests/test_load_scores.py
# A process for each core, of one thread each.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist worksteal

# The version of igv.js that `make vendor` takes from the npm registry.
IGV := 3.8.10
VENDORED := cli/deeplift_cli/browser/vendored

.PHONY: demo quick test zoo long fuzz hostile downstream paper coverage mutation lowest audit constraints site vendor workflow clean

demo: $(VENV)/.installed
	@mkdir -p $(RESULTS)
	$(BIN)/deeplift score --model examples/tal1_gata.onnx --fasta examples/sequences.fa --out $(RESULTS)/scores.h5 --overwrite
	@echo
	$(BIN)/python examples/share.py $(RESULTS)/scores.h5 examples/planted_motifs.bed
	@echo
	$(BIN)/deeplift plot $(RESULTS)/scores.h5 --name seq001_both --hits examples/planted_motifs.bed --out $(RESULTS)/seq001_both.png --overwrite --quiet
	$(BIN)/deeplift report $(RESULTS)/scores.h5 --out $(RESULTS)/report.html --title "The embedded example" --overwrite --quiet
	@echo "Results are in $(RESULTS)/: scores.h5 (contributions), scores.bed (windows)"
	@echo "Look at $(RESULTS)/seq001_both.png, the logo of one sequence, and open $(RESULTS)/report.html, a page of all"

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(PYTEST)

# The core's tests with few random examples, and an eighth of the zoo: see the marker in pyproject.toml.
quick: $(VENV)/.installed-dev
	$(PYTEST) -m quick --hypothesis-profile quick tests/test_core_*.py tests/test_zoo.py

# The whole zoo through ONNX, by each pass alone and compiled, and all golden vectors compiled: an hour or two.
zoo: $(VENV)/.installed-dev
	$(PYTEST) -m "zoo or not zoo" tests/test_zoo.py tests/test_onnx_zoo.py tests/test_core_compiled.py tests/test_core_golden.py

# Kills at every moment, and more exports.
long: $(VENV)/.installed-dev
	$(PYTEST) -m long

# TF-MoDISco and Fi-NeMo on the scores, by the commands of docs/modisco.md.
downstream: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[downstream]'
	$(BIN)/pytest -m downstream

# The whole corpus of hostile and odd inputs, with the cases that take many seconds.
hostile: $(VENV)/.installed-dev
	$(PYTEST) -m "hostile_long or not hostile_long" tests/hostile

# A stamp for each set of packages: a second run installs nothing.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[plot]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps 'bpnet-lite>=1' 'cherimoya>=0.3' 'enformer-pytorch>=0.8' 'openspliceai>=0.0.7'  # see pyproject.toml
	@touch $@ $(VENV)/.installed

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "deeplift needs Python 3.11 or newer; give one: make PYTHON=python3.12"; exit 1; }
	@echo "Setting up $(VENV) (PyTorch is a large download: some minutes)"
	$(PYTHON) -m venv $(VENV)

# The experiments of the DeepLIFT paper, into benchmarks/paper/results and docs/paper.md.
paper: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/paper/run.py --page docs/paper.md

# Which lines and branches the tests run: a table, and pages in .coverage-pages/.
coverage: $(VENV)/.installed-dev
	COVERAGE_FILE=$(CURDIR)/.coverage $(PYTEST) --cov --cov-report=term:skip-covered --cov-report=html:.coverage-pages

# Small faults in the rules, references, outputs and merging: do the tests notice each?  An hour on two cores.
mutation: $(VENV)/.installed-dev
	$(BIN)/python tools/mutation/run.py

# The oldest packages that pyproject.toml allows, in an environment of their own: do files, models and scores work?
lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable '.[test]'
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal $(LOWEST_TESTS)

# Known vulnerabilities of the packages in constraints.txt, as the Python Packaging Advisory Database has them.
audit: $(BIN)/python
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

# constraints.txt anew, with the releases that are in .venv, on which `make test` has passed, and the same pins in the
# environment that Snakemake makes.
constraints: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m pip freeze --exclude-editable | grep '==' > $(VENV)/tested.txt
	$(BIN)/uv pip compile --quiet --universal --no-annotate --custom-compile-command 'make constraints' \
		--constraints $(VENV)/tested.txt --extra motifs --extra plot --extra workflow pyproject.toml --output-file constraints.txt
	sed '/- pip:$$/q' workflow/envs/deeplift.yaml > $(VENV)/deeplift.yaml
	$(BIN)/uv pip compile --quiet --universal --no-annotate --no-header --constraints constraints.txt --extra motifs \
		pyproject.toml | sed 's/^/      - /' >> $(VENV)/deeplift.yaml
	cp $(VENV)/deeplift.yaml workflow/envs/deeplift.yaml

# igv.js, which `deeplift browser` puts into its pages, with its licence; needs npm. See docs/browser.md.
vendor:
	@mkdir -p $(VENV)/igv
	cd $(VENV)/igv && npm pack igv@$(IGV) --silent && tar -xzf igv-$(IGV).tgz
	cp $(addprefix $(VENV)/igv/package/,dist/igv.min.js LICENSE package.json) $(VENDORED)/

# Parsers of files against far more random content than `make test` has time for.
fuzz: $(VENV)/.installed-dev
	$(PYTEST) -m fuzz

# The documentation as a site, in site/index.html.
site: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The workflow on the embedded example, in shards and folds.
workflow: $(VENV)/.installed-dev
	$(BIN)/snakemake --profile profiles/local --directory .test

clean:
	rm -rf $(VENV) .venv-lowest .coverage-pages $(RESULTS) results site .snakemake .test/results .test/.snakemake
