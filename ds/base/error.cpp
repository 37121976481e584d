// SPDX-License-Identifier: Apache-2.0
#include "ds/base/error.h"

namespace ds {

void throw_internal(const char* file, int line, const char* condition, const std::string& detail) {
  throw InternalError(str("internal error: ", condition, " failed at ", file, ":", line,
                          detail.empty() ? "" : ": ", detail,
                          "; this is a bug of the library, please report it"));
}

}  // namespace ds
