// SPDX-License-Identifier: Apache-2.0
// Where user code made a call: a small key that resolves to "file:line" when a message needs it.
#pragma once

#include <cstdint>
#include <string>

namespace ds {

/// Returns a key for the caller's place, 0 when unknown. Must be cheap: it runs once per node.
using LocationProvider = uint32_t (*)();
/// Text of a key that the provider returned, such as "train.py:12".
using LocationText = std::string (*)(uint32_t key);

/// Installs the functions of the language binding; C++ programs without one have no locations.
void set_location_source(LocationProvider provider, LocationText text);
/// The key of the innermost LocationScope of this thread, else of the provider.
uint32_t current_location();
/// "file:line" or an empty string for 0. Call it on a user's thread: a binding may need its lock.
std::string location_text(uint32_t key);

/// While it lives, nodes made on this thread carry `key`: what is derived from a node (a gradient,
/// a rewrite) keeps the place of the user's line.
class LocationScope {
 public:
  explicit LocationScope(uint32_t key);
  ~LocationScope();
  LocationScope(const LocationScope&) = delete;
  LocationScope& operator=(const LocationScope&) = delete;

 private:
  bool outer_active_;
  uint32_t outer_key_;
};

}  // namespace ds
