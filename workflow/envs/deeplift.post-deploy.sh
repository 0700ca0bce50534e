#!/usr/bin/env bash
# Snakemake runs this in the new environment, from a copy: the Snakefile says where the checkout is, if there is one.
# Snakemake makes a new environment where this text changes, so it names the version that it installs.
set -euo pipefail
VERSION=0.1.0
python -m pip install --no-deps "${DEEPLIFT_CHECKOUT:-deeplift-genomics==$VERSION}"
installed=$(deeplift --version)
if [ "$installed" != "deeplift, version $VERSION" ]; then
    echo "installed is \"$installed\", but this environment is for version $VERSION: pull the workflow again" >&2
    exit 1
fi
