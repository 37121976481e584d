// SPDX-License-Identifier: Apache-2.0
// The entry point shared by all doctest binaries: every pass is verified in tests.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "ds/base/options.h"

int main(int argc, char** argv) {
  ds::options().verify = true;
  return doctest::Context(argc, argv).run();
}
