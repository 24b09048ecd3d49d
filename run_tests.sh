#!/usr/bin/env bash
# Installs what is missing, then lints and tests. Arguments go to pytest: ./run_tests.sh tests/archs -k sizes
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
./install.sh tests
.venv/bin/ruff check .
.venv/bin/ruff format --check .
# one thread a process: two that share two cores would wait for each other
OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal --durations=10 "$@"
