#!/usr/bin/env bash
# Makes .venv and installs stea_arch into it; does nothing where that is already done, and goes on where it was stopped.
# Usage: ./install.sh [extra ...]        (extras of setup.py: tests, export, metrics, ...)
# PYTHON names the interpreter, Python 3.11 to 3.14; TORCH=cuda or TORCH=cpu chooses the build of torch. A torch that is
# already in .venv is kept, unless TORCH asks for the other build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
unset PYTHONPATH PYTHONHOME # what only they lead to is not in .venv

fail() {
    echo "$1" >&2
    exit 1
}
version() { # prints that of an interpreter; fails where it is not 3.11 to 3.14
    "$1" -c 'import sys; v = sys.version_info; print("%d.%d" % v[:2]); sys.exit(not (3, 11) <= v < (3, 15))' 2>/dev/null
}

case ${TORCH:-} in '' | cuda | cpu) ;; *) fail "TORCH is $TORCH; it may be cuda or cpu." ;; esac
wanted=
if [ -n "${PYTHON:-}" ]; then
    wanted=$(version "$PYTHON") || fail "PYTHON=$PYTHON is ${wanted:-no interpreter}; Python 3.11 to 3.14 is needed."
fi
present=$(version .venv/bin/python) || [ -z "$present" ] \
    || fail ".venv is of Python $present; 3.11 to 3.14 is needed. Remove it (rm -r .venv) and run $0 again."
[ -z "$present" ] || [ "${wanted:-$present}" = "$present" ] \
    || fail ".venv is of Python $present, PYTHON=$PYTHON is $wanted. Remove .venv (rm -r .venv) or leave PYTHON out."

extras=$(IFS=,; echo "$*")
stamp=.venv/installed_$(cat setup.py install.sh | cksum | cut -d' ' -f1)_${TORCH:-any}_${extras//,/_}
place="$(pwd -P), Python $present"
place_before=$(cat .venv/installed_* 2>/dev/null | tail -n 1 || true)
[ -f "$stamp" ] && [ "$place_before" = "$place" ] && exit 0

if [ -n "$present" ] && [ "${place_before:-$place}" != "$place" ]; then
    echo "Making .venv anew: it was for $place_before, this is $place."
    present=
elif [ -n "$present" ] && ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    # venv writes activate last: without it .venv was left unfinished, with it somebody made it so
    [ ! -e .venv/bin/activate ] \
        || fail ".venv has no pip. Add it (.venv/bin/python -m ensurepip) or remove .venv (rm -r .venv); run $0 again."
    present=
fi
if [ -z "$present" ]; then
    for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 ''; do
        if version "$python" >/dev/null; then break; fi
    done
    [ -n "$python" ] || fail "Python 3.11 to 3.14 is needed and was not found. Name it: PYTHON=/path/to/python3.13 $0"
    "$python" -m venv --clear .venv || {
        rm -rf .venv
        fail "'$python -m venv' failed; Debian and Ubuntu keep it in the package python3-venv."
    }
fi
pip() { .venv/bin/python -m pip --disable-pip-version-check install --quiet "$@"; }

echo "Installing into .venv: torch first, where it is missing, then stea_arch."
ask_build='import torch, torchvision; print("cuda" if torch.version.cuda else "cpu")'
build=$(.venv/bin/python -c "$ask_build" 2>/dev/null || true)
if [ "${TORCH:-${build:-missing}}" != "$build" ]; then
    # without an NVIDIA card PyTorch's CPU build, a tenth of the download, unless its index is out of reach
    cpu=https://download.pytorch.org/whl/cpu
    reach_index="import urllib.request as web; web.urlopen('$cpu/torch/', timeout=10)"
    choice=${TORCH:-cuda}
    if [ -z "${TORCH:-}" ] && ! nvidia-smi -L >/dev/null 2>&1 && .venv/bin/python -c "$reach_index" 2>/dev/null; then
        choice=cpu
    fi
    index=
    [ "$choice" = cuda ] || index="--index-url $cpu"
    echo "torch: ${index:-the usual build, with CUDA some 5 GB}"
    if [ -n "$build" ]; then # pip would keep it: the version is the same
        rm -f .venv/installed_*
        .venv/bin/python -m pip uninstall --quiet --yes torch torchvision
    fi
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
echo "$(pwd -P), Python $(version .venv/bin/python)" >"$stamp"
