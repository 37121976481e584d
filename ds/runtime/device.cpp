// SPDX-License-Identifier: Apache-2.0
#include "ds/runtime/device.h"

#include <atomic>
#include <mutex>

#include "ds/base/error.h"
#include "ds/base/options.h"
#include "ds/runtime/backend.h"

namespace ds {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<Backend*> backends;
};

Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

std::atomic<int> g_default{-1};

Device best_device() {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  int best = -1;
  for (size_t i = 0; i < r.backends.size(); ++i)
    if (r.backends[i]->priority() >= 0 &&
        (best < 0 || r.backends[i]->priority() > r.backends[static_cast<size_t>(best)]->priority()))
      best = static_cast<int>(i);
  DS_CHECK(best >= 0, DeviceError, "device: no backend is linked into this program");
  return {static_cast<uint8_t>(best)};
}

}  // namespace

void register_backend(Backend* backend) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  for (const Backend* known : r.backends)
    DS_CHECK(known->name() != backend->name(), DeviceError, "device: a backend named '",
             backend->name(), "' is already registered");
  r.backends.push_back(backend);
}

Backend& backend_of(Device device) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  DS_ASSERT(device.backend < r.backends.size());
  return *r.backends[device.backend];
}

std::vector<std::string> backend_names() {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  std::vector<std::string> names;
  for (const Backend* backend : r.backends) names.emplace_back(backend->name());
  return names;
}

Device parse_device(std::string_view text) {
  if (text == "auto") return best_device();
  const std::string_view name = text.ends_with(":0") ? text.substr(0, text.size() - 2) : text;
  const std::vector<std::string> names = backend_names();
  std::string choices = "auto";
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return {static_cast<uint8_t>(i)};
    choices += ", " + names[i];
  }
  throw DeviceError(str("device: '", text, "' is not available; choose one of ", choices));
}

std::string device_name(Device device) { return std::string(backend_of(device).name()); }

Device default_device() {
  const int chosen = g_default;
  if (chosen >= 0) return {static_cast<uint8_t>(chosen)};
  const std::string& wanted = options().device;
  const Device device = parse_device(wanted);
  g_default = device.backend;
  return device;
}

void set_default_device(Device device) { g_default = device.backend; }

}  // namespace ds
