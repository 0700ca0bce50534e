#!/usr/bin/env bash
# Snakemake runs this in the new environment, from a copy: the Snakefile says where the checkout is.
set -euo pipefail
python -m pip install "${DEEPLIFT_CHECKOUT:?set by the Snakefile}"
