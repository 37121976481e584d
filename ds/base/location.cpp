// SPDX-License-Identifier: Apache-2.0
#include "ds/base/location.h"

#include <atomic>

namespace ds {
namespace {
std::atomic<LocationProvider> g_provider{nullptr};
std::atomic<LocationText> g_text{nullptr};
thread_local bool t_active = false;
thread_local uint32_t t_key = 0;
}  // namespace

void set_location_source(LocationProvider provider, LocationText text) {
  g_text = text;
  g_provider = provider;
}

uint32_t current_location() {
  if (t_active) return t_key;
  const LocationProvider provider = g_provider.load(std::memory_order_relaxed);
  return provider ? provider() : 0;
}

std::string location_text(uint32_t key) {
  key &= 0x7fffffffu;  // the top bit marks nodes of a backward pass (ds/ir/phase.h)
  const LocationText text = g_text;
  return key != 0 && text ? text(key) : std::string();
}

LocationScope::LocationScope(uint32_t key) : outer_active_(t_active), outer_key_(t_key) {
  t_active = true;
  t_key = key;
}

LocationScope::~LocationScope() {
  t_active = outer_active_;
  t_key = outer_key_;
}

}  // namespace ds
