// SPDX-License-Identifier: Apache-2.0
// Internal to the oneDNN wrappers: the engine, descriptors and error mapping. Includes dnnl.hpp, so
// only the wrappers' own .cpp files include it.
#pragma once

#include <memory>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <span>
#include <vector>

#include "ds/backends/cpu/dnnl/memory.h"
#include "ds/base/error.h"
#include "ds/base/parallel.h"

namespace ds::cpu {

const dnnl::engine& dnnl_engine();
/// A stream of the calling thread.
const dnnl::stream& dnnl_stream();

dnnl::memory::data_type to_dnnl(DType dtype);
dnnl::memory::dims to_dims(const Shape& shape);
dnnl::memory::desc to_desc(const TensorDesc& desc);
/// The descriptor with the strides that oneDNN's kernels recognise: size 1 dimensions carry those
/// of a dense channels-last or row-major tensor.
dnnl::memory::desc activation_desc(const TensorDesc& desc);

struct PackedLayout::Desc {
  dnnl::memory::desc md;
};
PackedLayoutPtr to_layout(const dnnl::memory::desc& desc);

/// User scratchpad and the post-ops as attributes.
dnnl::primitive_attr make_attr(const std::vector<PostOp>& post_ops);

/// Calls `make`, which creates a primitive descriptor, and returns its result. A refusal by oneDNN
/// becomes an empty result with the reason in `why`; other failures throw InternalError or
/// OutOfMemoryError with `what`. A reference implementation, which is slow, counts as a refusal.
template <class Desc, class Make>
bool try_make(Desc& desc, const std::string& what, std::string* why, Make&& make);

/// A primitive descriptor's kernel is plain loops.
template <class Desc>
bool is_reference(const Desc& desc) {
  return std::string_view(desc.impl_info_str()).find("ref") != std::string_view::npos;
}

/// Throws what a dnnl::error means to our callers.
[[noreturn]] void throw_dnnl(const dnnl::error& error, const std::string& what);

/// A compiled primitive and how its arguments are laid out.
class Primitive {
 public:
  template <class Desc>
  Primitive(const Desc& desc, dnnl::primitive primitive, std::string text)
      : primitive_(std::move(primitive)),
        text_(std::move(text)),
        implementation_(desc.impl_info_str()),
        scratchpad_(desc.scratchpad_desc()),
        threads_(num_threads()),
        kept_(std::make_unique<Arguments>()) {}
  size_t scratchpad_bytes() const { return scratchpad_.get_size(); }
  const std::string& implementation() const { return implementation_; }
  const std::string& text() const { return text_; }
  int threads() const { return threads_; }

  struct Arg {
    int index;
    dnnl::memory::desc desc;
    const void* data;
  };
  /// Runs with as many threads as it was planned for. Thread-safe.
  void execute(std::span<const Arg> args, void* scratchpad) const;

 private:
  /// oneDNN's memory objects; only the addresses change from run to run.
  struct Arguments {
    std::mutex busy;
    std::vector<dnnl::memory> memories;
    std::vector<dnnl_exec_arg_t> list;
  };
  void run(Arguments& arguments, std::span<const Arg> args, void* scratchpad) const;

  dnnl::primitive primitive_;
  std::string text_;
  std::string implementation_;
  dnnl::memory::desc scratchpad_;
  int threads_;
  std::unique_ptr<Arguments> kept_;
};

/// Runs `body` with OpenMP's thread count of this thread set to `threads`.
class ThreadCount {
 public:
  explicit ThreadCount(int threads);
  ~ThreadCount();
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  int before_;
};

template <class Desc, class Make>
bool try_make(Desc& desc, const std::string& what, std::string* why, Make&& make) {
  const ThreadCount count(num_threads());
  try {
    desc = make();
  } catch (const dnnl::error& error) {
    if (error.status != dnnl_unimplemented && error.status != dnnl_invalid_arguments)
      throw_dnnl(error, what);
    if (why) *why = what + ": oneDNN has no kernel for it on this processor";
    return false;
  }
  if (is_reference(desc)) {
    if (why) *why = what + ": oneDNN has only its reference kernel";
    return false;
  }
  return true;
}

}  // namespace ds::cpu
