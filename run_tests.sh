#!/usr/bin/env bash
# Installs what is missing, then lints and tests. Arguments go to pytest: ./run_tests.sh tests/archs -k sizes
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
./install.sh tests
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/python -m pytest --durations=10 "$@"
