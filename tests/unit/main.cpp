// SPDX-License-Identifier: Apache-2.0
// The entry point shared by all doctest binaries: every pass is verified in tests, and kernels are
// those that the rules take, whatever was measured on this machine.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "ds/base/options.h"

int main(int argc, char** argv) {
  ds::options().verify = true;
  ds::options().tune = "0";
  return doctest::Context(argc, argv).run();
}
