#!/bin/sh
# What must be there before any Python of ours can run: the virtual environment, from the lock.
# Everything else (engine, Compose, browser) is `matomo-harness prepare`, in Python. Nothing of it is said on
# standard output, which belongs to what follows: a token, a patch, a report.
set -eu
cd "$(dirname "$0")/.."

fail() { # expected, seen, next command
    printf 'matomo-harness: expected %s\n  seen: %s\n  next: %s\n' "$1" "$2" "$3" >&2
    exit 3
}

python=$(command -v python3) || fail "python3, 3.11 or newer" "no python3" "install Python 3.11 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "python3, 3.11 or newer" "$("$python" --version)" "install Python 3.11 or newer"

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian splits venv out of python3.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing python3-venv (about 10 s) ..." >&2
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3-venv; } \
            >.prepare.log 2>&1 || { tail -n 3 .prepare.log >&2; fail "python3-venv" "apt-get failed, see .prepare.log" "apt-get install python3-venv"; }
    else
        fail "the venv module of Python" "none" "sudo apt-get install python3-venv"
    fi
fi

echo "Installing the Python packages of requirements.lock into .venv (a minute or two) ..." >&2
# A half-made environment of an interrupted run is thrown away rather than trusted.
rm -rf .venv
"$python" -m venv .venv
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
{ pip install --quiet --require-hashes -r requirements.lock &&
    pip install --quiet --no-deps --no-build-isolation --editable .; } >.prepare.log 2>&1 ||
    { tail -n 5 .prepare.log >&2; rm -rf .venv; fail "the packages of requirements.lock" "pip failed, see .prepare.log" "make up, once the network or index is back"; }
rm -f .prepare.log
cp requirements.lock .venv/requirements.lock
