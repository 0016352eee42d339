#!/bin/sh
# Make the project's virtual environment (.venv) from requirements.txt, once for each change of it.
# A missing prerequisite ends with one line that says what to do, and exit code 2.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "codae-l1: $1" >&2
    exit 2
}

stamp=$(cat requirements.txt pyproject.toml | cksum)
if [ -f .venv/.ready ] && [ "$(cat .venv/.ready)" = "$stamp" ]; then
    exit 0
fi

find_python() {
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        # The answer is read: other programs, such as /bin/true, end well too.
        if [ "$("$name" -c 'import sys; print((3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null)" = True ]; then
            echo "$name"
            return
        fi
    done
}
python=$(find_python)
[ -n "$python" ] || [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is no Python 3.11 to 3.13; name one: make demo PYTHON=/path/to/python3.12"
[ -n "$python" ] || fail "no Python 3.11, 3.12 or 3.13 found (python3 is $(python3 -V 2>&1 || echo missing)); install one, or name it: make demo PYTHON=/path/to/python3.12"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python has no venv module; install it (Debian, Ubuntu: apt-get install python3-venv)"
command -v "${CXX:-g++}" >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null ||
    fail "no C++ compiler (${CXX:+CXX=$CXX, }g++ or clang++) on PATH; install one (Debian, Ubuntu: apt-get install g++), or name it: CXX=/path/to/c++"
command -v make >/dev/null ||
    echo "codae-l1: no make on PATH; install it (Debian, Ubuntu: apt-get install make), or call what it calls: .venv/bin/python scripts/run_chain.py --config scripts/configs/demo.toml, .venv/bin/python -m pytest" >&2

echo "codae-l1: making .venv with $("$python" -V) from requirements.txt (about 4 GB; some minutes)"
[ -x .venv/bin/python ] || "$python" -m venv .venv || fail "$python -m venv .venv failed; Debian, Ubuntu: apt-get install python3-venv; then remove .venv and try again"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt ||
    fail "pip could not install requirements.txt; read its last lines above, check the package index, and run this again"
echo "$stamp" >.venv/.ready
