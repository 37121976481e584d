#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every test of the tree, after tools/setup.sh --tests: C++, Python, an outside C++ project that
# uses the installed library, and the readers and core under the address sanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" VIRTUAL_ENV="$PWD/.venv"
jobs=${JOBS:-$(nproc)}
say() { printf '\n== %s\n' "$*"; }

say "C++ tests"
ctest --test-dir build --output-on-failure --no-tests=error

say "Python tests"
# One test process per core, each with one thread: pools that spin would fight for the cores.
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} python -m pytest -q -n "$jobs"

say "an outside C++ project: install to a prefix, find_package, build, run"
rm -rf build/prefix build/consumer
cmake --install build --prefix "$PWD/build/prefix" >/dev/null
cmake -S examples/consumer -B build/consumer -G Ninja -DCMAKE_PREFIX_PATH="$PWD/build/prefix" >/dev/null
cmake --build build/consumer
build/consumer/consumer

say "core and readers under the address and undefined-behaviour sanitizers"
cmake --preset asan >/dev/null
mapfile -t targets < <(ninja -C build-asan -t targets all | sed -n -E 's/^(test_(base|ir|io|fuzz)): .*/\1/p')
cmake --build --preset asan -j "$jobs" --target "${targets[@]}"
ctest --preset asan

say "all tests passed"
