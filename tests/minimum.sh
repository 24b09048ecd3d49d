#!/usr/bin/env bash
# Runs the tests with the oldest versions that setup.py declares, in .venv-minimum: gigabytes and half an hour.
# Usage: tests/minimum.sh [arguments of pytest]        PYTHON names the interpreter, Python 3.11
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONPATH PYTHONHOME # what only they lead to is not in .venv-minimum
.venv-minimum/bin/python -m pip --version >/dev/null 2>&1 || "${PYTHON:-python3.11}" -m venv --clear .venv-minimum
pip() { .venv-minimum/bin/python -m pip --disable-pip-version-check install --quiet --constraint tests/minimum.txt "$@"; }
pip torch torchvision setuptools wheel numpy
pip --no-build-isolation --no-deps basicsr
pip --no-build-isolation -e '.[tests]'
OMP_NUM_THREADS=1 .venv-minimum/bin/python -m pytest "$@"
