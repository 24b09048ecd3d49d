#!/usr/bin/env bash
# Makes .venv and installs stea_arch into it; does nothing where that is already done.
# Usage: ./install.sh [extra ...]        (extras of setup.py: tests, export, metrics, ...)
# PYTHON names the interpreter, Python 3.11 to 3.14. A torch that is already in .venv is kept.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

extras=$(IFS=,; echo "$*")
stamp=.venv/installed_$(cat setup.py install.sh | cksum | cut -d' ' -f1)_${extras//,/_}
[ -f "$stamp" ] && exit 0

if [ ! -x .venv/bin/python ]; then
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
    if [ -z "${python:-}" ]; then
        echo "Python 3.11 to 3.14 is needed and was not found. Name it: PYTHON=/path/to/python3.13 $0" >&2
        exit 1
    fi
    "$python" -m venv .venv || {
        rm -rf .venv
        echo "'$python -m venv' failed; Debian and Ubuntu keep it in the package python3-venv." >&2
        exit 1
    }
fi
pip() { .venv/bin/python -m pip --disable-pip-version-check install --quiet "$@"; }

echo "Installing into .venv: torch first, where it is missing, then stea_arch."
if ! .venv/bin/python -c 'import torch, torchvision' 2>/dev/null; then
    # without an NVIDIA card PyTorch's CPU build, a tenth of the download, unless its index is out of reach
    cpu=https://download.pytorch.org/whl/cpu
    index=
    if ! nvidia-smi -L >/dev/null 2>&1 \
        && .venv/bin/python -c "import urllib.request as web; web.urlopen('$cpu/torch/', timeout=10)" 2>/dev/null; then
        index="--index-url $cpu"
    fi
    echo "torch: ${index:-the usual build, with CUDA some 5 GB}"
    # shellcheck disable=SC2086
    pip torch torchvision $index
fi
pip 'setuptools<81' wheel numpy
# basicsr's isolated build would download torch a second time only to read the version number
.venv/bin/python -c 'import importlib.metadata as m; m.version("basicsr")' 2>/dev/null \
    || PYTHONPATH=$PWD/tools/basicsr_build pip --no-build-isolation --no-deps basicsr==1.4.2
pip --no-build-isolation -e ".${extras:+[$extras]}"

# opencv-python needs libGL and glib, which servers and containers often lack; the headless build has the same cv2
if ! .venv/bin/python -c 'import cv2' 2>/dev/null; then
    version=$(.venv/bin/python -c 'import importlib.metadata as m; print(m.version("opencv-python"))')
    pip --force-reinstall --no-deps "opencv-python-headless==$version"
fi
.venv/bin/python -c 'import stea_arch, basicsr'
touch "$stamp"
