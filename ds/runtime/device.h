// SPDX-License-Identifier: Apache-2.0
// Device: where values live and programs run: the index of a registered backend.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ds {

class Backend;

struct Device {
  uint8_t backend = 0;
  bool operator==(const Device& other) const { return backend == other.backend; }
  bool operator!=(const Device& other) const { return backend != other.backend; }
};

/// Adds a backend under its name; later registrations of a name are refused (DeviceError).
void register_backend(Backend* backend);
/// The backend of a device.
Backend& backend_of(Device device);
/// Names of all registered backends.
std::vector<std::string> backend_names();

/// "cpu", "ref", "null", "cpu:0" or "auto" (the fastest registered); DeviceError lists the choices.
Device parse_device(std::string_view text);
std::string device_name(Device device);

/// Device of new tensors: DS_DEVICE, else "auto", until set.
Device default_device();
void set_default_device(Device device);

}  // namespace ds
