// SPDX-License-Identifier: Apache-2.0
// Ctrl-C during a run: the first one is noted, a second one does what it did before.
#pragma once

#include <csignal>

namespace ds::train {

class InterruptScope {
 public:
  /// Takes SIGINT over until the scope ends, unless the process ignores it. Scopes do not nest: an
  /// inner one notes nothing.
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
  bool requested() const;

 private:
  bool active_ = false;
};

}  // namespace ds::train
