#!/usr/bin/env bash
# Runs the tests with the oldest versions that setup.py declares, in .venv-minimum, which takes gigabytes and half an hour.
# Usage: tests/minimum.sh [arguments of pytest]        PYTHON names the interpreter, 3.11 or 3.12
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -d .venv-minimum ] || "${PYTHON:-python3.11}" -m venv .venv-minimum
pip() { .venv-minimum/bin/python -m pip --disable-pip-version-check install --quiet --constraint tests/minimum.txt "$@"; }
pip torch torchvision setuptools wheel numpy
pip --no-build-isolation --no-deps basicsr
pip --no-build-isolation -e '.[tests]'
OMP_NUM_THREADS=1 .venv-minimum/bin/python -m pytest "$@"
