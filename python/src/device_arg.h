// SPDX-License-Identifier: Apache-2.0
// A device argument by name. A name that is not available is refused when it is used, with a
// DeviceError: while arguments are converted nanobind would turn it into "incompatible arguments".
#pragma once

#include <string>

#include "casters.h"
#include "ds/base/error.h"

struct DeviceArg {
  ds::Device device{};
  std::string unavailable;  // the name, where there is no such device

  operator ds::Device() const {  // NOLINT(google-explicit-constructor)
    return unavailable.empty() ? device : ds::parse_device(unavailable);
  }
};

namespace nanobind::detail {

template <>
struct type_caster<DeviceArg> {
  NB_TYPE_CASTER(DeviceArg, const_name("str | device"))
  bool from_python(handle src, uint32_t, cleanup_list*) noexcept {
    try {
      value.device = parse_device_object(src);
    } catch (const ds::DeviceError&) {
      value.unavailable = nanobind::borrow<nanobind::str>(src).c_str();
    } catch (...) {
      return false;
    }
    return true;
  }
  static handle from_cpp(const DeviceArg& arg, rv_policy, cleanup_list*) noexcept {
    return device_object(arg.device).release();
  }
};

}  // namespace nanobind::detail
