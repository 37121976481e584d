// SPDX-License-Identifier: Apache-2.0
#include "ds/runtime/buffer.h"

#include "ds/base/error.h"
#include "ds/base/location.h"

namespace ds {

size_t type_bytes(const Type& type) {
  size_t bytes = dtype_size(type.dtype);
  for (int64_t size : type.shape)
    DS_CHECK(!__builtin_mul_overflow(bytes, static_cast<size_t>(size), &bytes) &&
                 bytes <= (size_t{1} << 62),
             OutOfMemoryError, "memory: a tensor ", type, " is too large to exist");
  return bytes;
}

Buffer::Buffer(Type type, Device device, std::shared_ptr<void> memory)
    : type_(std::move(type)), device_(device), memory_(std::move(memory)), state_(kReady) {}

void Buffer::finish(std::shared_ptr<void> memory) {
  memory_ = std::move(memory);
  state_.store(kReady, std::memory_order_release);
  state_.notify_all();
}

void Buffer::fail(std::exception_ptr error, uint32_t location) {
  error_ = std::move(error);
  error_location_ = location;
  state_.store(kFailed, std::memory_order_release);
  state_.notify_all();
}

void Buffer::keep(const Buffer& previous) {
  failed_steps_ = previous.failed_steps_ + 1;
  finish(previous.memory_);
}

std::shared_ptr<void> Buffer::copy_in(const Layout& layout) const {
  if (shared()) return nullptr;
  for (const auto& [kept, memory] : copies_)
    if (kept->equals(layout)) return memory;
  return nullptr;
}

void Buffer::keep_copy(LayoutPtr layout, std::shared_ptr<void> memory) {
  if (shared()) return;
  // A layout that does not equal itself speaks of values that are gone.
  std::erase_if(copies_, [](const auto& copy) { return !copy.first->equals(*copy.first); });
  copies_.emplace_back(std::move(layout), std::move(memory));
}

void Buffer::wait() const {
  state_.wait(kPending, std::memory_order_acquire);
  if (state_.load(std::memory_order_acquire) != kFailed) return;
  const std::string place = location_text(error_location_);
  rethrow_with_context(error_, place.empty() ? "" : " (recorded at " + place + ")");
}

BufferPtr buffer_of(const Value& value) {
  return std::static_pointer_cast<Buffer>(value.node->realized(value.index));
}

}  // namespace ds
