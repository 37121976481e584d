// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/dnnl/reorder.h"

#include "ds/backends/cpu/dnnl/engine.h"

namespace ds::cpu {

struct ReorderPlan::State {
  Primitive primitive;
  dnnl::memory::desc src, dst;
};

ReorderPlan::ReorderPlan(Direction direction, DType plain, PackedLayoutPtr layout) {
  const dnnl::memory::desc& packed = layout->desc().md;
  const Shape dims(packed.get_dims());
  const std::string what = str("reorder: ", plain, dims, ", ", layout->text());
  const ThreadCount count(num_threads());
  try {
    dnnl::memory::desc src = to_desc(row_major(plain, dims)), dst = packed;
    if (direction == Direction::unpack) std::swap(src, dst);
    const dnnl::reorder::primitive_desc desc(dnnl_engine(), src, dnnl_engine(), dst, make_attr({}));
    state_.reset(new State{Primitive(desc, dnnl::reorder(desc), what), src, dst});
  } catch (const dnnl::error& error) {
    throw_dnnl(error, what);
  }
}

ReorderPlan::~ReorderPlan() = default;

size_t ReorderPlan::scratchpad_bytes() const { return state_->primitive.scratchpad_bytes(); }
const std::string& ReorderPlan::implementation() const {
  return state_->primitive.implementation();
}

void ReorderPlan::execute(const void* src, void* dst, void* scratchpad) const {
  const Primitive::Arg args[] = {{DNNL_ARG_FROM, state_->src, src},
                                 {DNNL_ARG_TO, state_->dst, dst}};
  state_->primitive.execute(args, scratchpad);
}

}  // namespace ds::cpu
