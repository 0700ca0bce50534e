# `make demo`: score the embedded example.  `make quick`: test the core in a minute.  `make test`: run every check.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RESULTS := demo-results
# A process for each core, of one thread each.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist worksteal

.PHONY: demo quick test zoo hostile workflow clean

demo: $(VENV)/.installed
	@mkdir -p $(RESULTS)
	$(BIN)/deeplift score --model examples/tal1_gata.onnx --fasta examples/sequences.fa --out $(RESULTS)/scores.h5 --overwrite
	@echo
	$(BIN)/python examples/share.py $(RESULTS)/scores.h5 examples/planted_motifs.bed
	@echo
	$(BIN)/python examples/plot.py $(RESULTS)/scores.h5 --name seq001_both --planted examples/planted_motifs.bed --out $(RESULTS)/seq001_both.png
	@echo "Results are in $(RESULTS)/: scores.h5 (contributions), scores.bed (windows), seq001_both.png (a picture)"

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST)

# The core's tests with few random examples, and an eighth of the zoo: see the marker in pyproject.toml.
quick: $(VENV)/.installed-dev
	$(PYTEST) -m quick --hypothesis-profile quick tests/test_core_*.py tests/test_zoo.py

# The whole zoo through ONNX and compiled, and all golden vectors compiled: an hour or two.
zoo: $(VENV)/.installed-dev
	$(PYTEST) -m "zoo or not zoo" tests/test_zoo.py tests/test_onnx_zoo.py tests/test_core_compiled.py tests/test_core_golden.py

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

# The workflow on the embedded example, in shards and folds.
workflow: $(VENV)/.installed-dev
	$(BIN)/snakemake --profile profiles/local --directory .test

clean:
	rm -rf $(VENV) $(RESULTS) results .snakemake .test/results .test/.snakemake
