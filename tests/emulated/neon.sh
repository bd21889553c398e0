#!/usr/bin/env bash
# Builds the native kernels for ARM64 and runs tests on them under QEMU, all of it in build/arm64.
# On Debian, with .venv as `make` makes it: apt-get install qemu-user g++-aarch64-linux-gnu
# Arguments are pytest's, the tests of the kernels if there are none.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$PWD/.venv/bin at=$PWD/build/arm64
root=$at/root site=$at/site python=$root/usr/bin/python
mkdir -p "$at"

# an ARM64 Python out of Debian's packages, unpacked beside the system's and not installed in it
if [ ! -x "$python" ]; then
  mkdir -p "$at"/apt/{lists,cache/archives}/partial
  : >"$at/apt/status"
  apt=(apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State="$at/apt"
    -o Dir::State::status="$at/apt/status" -o Dir::Cache="$at/apt/cache" -o APT::Sandbox::User=root)
  "${apt[@]}" update
  "${apt[@]}" install -y --no-install-recommends --download-only \
    python3.11 libpython3.11-dev libgomp1 libstdc++6
  for package in "$at"/apt/cache/archives/*.deb; do dpkg -x "$package" "$root"; done
  # what Python starts itself with; the processor has no vectors but NEON, and what torch asks for
  cat >"$python" <<END
#!/bin/sh
exec qemu-aarch64 -cpu neoverse-n1 -L "$root" -0 "\$0" "$root/usr/bin/python3.11" "\$@"
END
  chmod +x "$python"
fi

# torch 2.10 is the last whose ARM64 wheel of PyPI needs no CUDA
if [ ! -d "$site/torch" ]; then
  grep -v '^torch==' constraints.txt >"$at/constraints.txt"
  "$bin/python" -m pip --disable-pip-version-check install -q --no-compile --no-deps --target "$site" \
    --platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64 --python-version 3.11 \
    --only-binary=:all: -c "$at/constraints.txt" torch==2.10.0 numpy sympy mpmath networkx jinja2 \
    markupsafe typing_extensions filelock fsspec pytest pytest-xdist execnet pluggy iniconfig \
    packaging pygments hypothesis sortedcontainers setuptools
fi

# /usr/bin/env stands for an emulator: this Python brings its own
"$bin/cmake" -S . -B "$at/build" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_CXX_FLAGS="-idirafter $root/usr/include" \
  -DCMAKE_CROSSCOMPILING_EMULATOR=/usr/bin/env -DELMAN_WERROR=ON \
  -DPython_EXECUTABLE="$python" -DPython_INCLUDE_DIR="$root/usr/include/python3.11" \
  -Dnanobind_DIR="$("$bin/python" -m nanobind --cmake_dir)"
"$bin/cmake" --build "$at/build"
rm -rf "$at/elman"
mkdir "$at/elman"
cp -r src/elman "$at/elman"
"$bin/cmake" --install "$at/build" --prefix "$at/elman"

# QEMU hands the compiler of a user's own cells to this machine: the one above
export PYTHONPATH=$at/elman:$site ELMAN_CACHE=$at/cells CXX=aarch64-linux-gnu-g++ OMP_NUM_THREADS=1
[ $# -gt 0 ] || set -- tests/kernels
exec "$python" -m pytest -n 0 -p no:cacheprovider "$@"
