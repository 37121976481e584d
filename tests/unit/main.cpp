// SPDX-License-Identifier: Apache-2.0
// The entry point shared by all doctest binaries.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
