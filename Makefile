# SPDX-License-Identifier: Apache-2.0
# The commands of the project; each starts from a fresh clone.
.PHONY: help build demo test clean

help:
	@echo "make demo    set up, build, train a small ResNet on digits and show predictions"
	@echo "make test    set up, build, run every C++ and Python test"
	@echo "make build   set up and build the package into .venv"
	@echo "make clean   remove build folders and .venv"

build:
	@tools/setup.sh

demo: build
	@.venv/bin/python examples/demo.py

test:
	@tools/setup.sh --tests
	@tools/run_tests.sh

clean:
	rm -rf build build-asan build-tsan build-debug dist .venv
