#!/bin/sh
# Makes .venv and installs the locked dependencies into it, or says that they are there already.
# Needs python3 >= 3.11 with its venv module, and a network or a folder of wheels in PIP_FIND_LINKS.
set -eu

fail() {
    echo "error: $1" >&2
    exit 2
}

for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "${python:-}" ] || fail "no python3 >= 3.11 found: install one, or name it: make PYTHON=/path/to/python3"

# Two locks with the same versions; the one for GPUs adds what CUDA needs, several gigabytes.
lock=locks/cpu.lock
if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
    lock=locks/gpu.lock
fi

key=$(cat "$lock" pyproject.toml | cksum | tr ' ' -)
stamp=.venv/installed-$key
if [ -f "$stamp" ]; then
    echo "environment unchanged: $lock is installed in .venv"
    exit 0
fi

echo "environment: installing $lock into .venv"
rm -f .venv/installed-*
.venv/bin/python -m pip --version >/dev/null 2>&1 || [ -x .venv/bin/uv ] || "$python" -m venv --clear .venv ||
    fail "python3 cannot make a virtual environment: install its venv module (Debian: apt-get install python3-venv)"
uv=$(grep '^uv==' "$lock")
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check "$uv"

# uv does not read pip's folder of wheels. A CPU build of torch is taken from it where it has one; elsewhere on
# Linux the registry's own torch is a CUDA build, and uv knows where the CPU builds are.
UV_FIND_LINKS=${UV_FIND_LINKS:-$(echo "${PIP_FIND_LINKS:-}" | tr ' ' ',')}
export UV_FIND_LINKS
backend=
if [ "$lock" = locks/cpu.lock ] && [ "$(uname)" = Linux ]; then
    find $(echo "$UV_FIND_LINKS" | tr ',' ' ') /dev/null -maxdepth 1 -name 'torch-*+cpu-*' | grep -q . || backend=--torch-backend=cpu
fi
.venv/bin/uv pip sync --quiet --compile-bytecode $backend "$lock"
.venv/bin/uv pip install --quiet --no-deps --editable .
touch "$stamp"
