// SPDX-License-Identifier: Apache-2.0
// `str(a, b, ...)` joins its arguments as text; the one way messages are built.
#pragma once

#include <sstream>
#include <string>

namespace ds {

template <class... Args>
std::string str(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return std::move(out).str();
}

}  // namespace ds
