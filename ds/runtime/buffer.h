// SPDX-License-Identifier: Apache-2.0
// Buffer: the memory of one computed value, possibly still being computed.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ds/ir/node.h"
#include "ds/runtime/device.h"

namespace ds {

/// How a backend arranges the elements of a value in memory when it is not row-major. Opaque to
/// everyone but the backend that made it.
class Layout {
 public:
  virtual ~Layout() = default;
  virtual size_t nbytes() const = 0;
  virtual uint64_t hash() const = 0;
  virtual bool equals(const Layout& other) const = 0;
  virtual std::string text() const = 0;
};
using LayoutPtr = std::shared_ptr<const Layout>;

/// Bytes of a row-major value; OutOfMemoryError when the product overflows.
size_t type_bytes(const Type& type);

class Buffer final : public Payload {
 public:
  /// A value that a program will compute and leave in `layout`: no memory yet.
  Buffer(Type type, Device device, LayoutPtr layout)
      : type_(std::move(type)), device_(device), layout_(std::move(layout)) {}
  /// A finished value in row-major order; `memory` keeps its owner alive.
  Buffer(Type type, Device device, std::shared_ptr<void> memory);

  const Type& type() const { return type_; }
  Device device() const { return device_; }
  /// Null is row-major.
  const LayoutPtr& layout() const { return layout_; }
  bool ready() const { return state_.load(std::memory_order_acquire) != kPending; }
  /// Blocks until computed; rethrows what went wrong, with the place where it was recorded.
  void wait() const;
  /// The memory of a finished value, in `layout()`.
  void* data() const { return memory_.get(); }
  const std::shared_ptr<void>& memory() const { return memory_; }

  /// Called by the executor: once, and again for a value that moves, which no one else reads.
  void finish(std::shared_ptr<void> memory);
  void fail(std::exception_ptr error, uint32_t location);
  /// The step that was to make the value failed: it is still that of `previous`.
  void keep(const Buffer& previous);
  /// The value is assigned over `previous`. Before finish().
  void follow(const Buffer& previous) { failed_steps_ = previous.failed_steps_; }
  /// Steps that were to assign to the tensor and failed, up to this finished value.
  int failed_steps() const { return failed_steps_; }
  /// The error of a failed buffer, null otherwise.
  std::exception_ptr error() const { return error_; }
  uint32_t error_location() const { return error_location_; }

  /// The copy of a finished value in another layout that was kept with it, or null. Only for the
  /// thread that runs programs.
  std::shared_ptr<void> copy_in(const Layout& layout) const;
  void keep_copy(LayoutPtr layout, std::shared_ptr<void> memory);

  /// Memory that others see too (NumPy, DLPack): never overwritten by donation, and copies of
  /// it are not kept.
  bool shared() const { return shared_.load(std::memory_order_relaxed); }
  void mark_shared() { shared_ = true; }

 private:
  static constexpr int kPending = 0, kReady = 1, kFailed = 2;
  Type type_;
  Device device_;
  std::shared_ptr<void> memory_;
  LayoutPtr layout_;
  std::vector<std::pair<LayoutPtr, std::shared_ptr<void>>> copies_;
  std::exception_ptr error_;
  uint32_t error_location_ = 0;
  int failed_steps_ = 0;  // written before the state
  std::atomic<bool> shared_{false};
  std::atomic<int> state_{kPending};
};
using BufferPtr = std::shared_ptr<Buffer>;

/// The buffer of a computed value of a node, null when it has none.
BufferPtr buffer_of(const Value& value);

}  // namespace ds
