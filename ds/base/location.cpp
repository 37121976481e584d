// SPDX-License-Identifier: Apache-2.0
#include "ds/base/location.h"

#include <atomic>

namespace ds {
namespace {
std::atomic<LocationProvider> g_provider{nullptr};
std::atomic<LocationText> g_text{nullptr};
}  // namespace

void set_location_source(LocationProvider provider, LocationText text) {
  g_text = text;
  g_provider = provider;
}

uint32_t current_location() {
  const LocationProvider provider = g_provider.load(std::memory_order_relaxed);
  return provider ? provider() : 0;
}

std::string location_text(uint32_t key) {
  const LocationText text = g_text;
  return key != 0 && text ? text(key) : std::string();
}

}  // namespace ds
