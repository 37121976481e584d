// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/function.h"

#include "ds/engine/engine.h"
#include "ds/ir/build.h"
#include "ds/tensor/tensor_impl.h"

namespace ds {
namespace {

thread_local bool t_recording = false;

}  // namespace

FunctionRecorder::FunctionRecorder() : lock_(graph_mutex()) { t_recording = true; }
FunctionRecorder::~FunctionRecorder() { t_recording = false; }

bool recording_function() { return t_recording; }

Tensor FunctionRecorder::input(const Type& type, Device device) {
  const auto index = static_cast<int64_t>(inputs_.size());
  const Value placeholder = make(Op::input_, {}, {index, type.dtype, type.shape});
  inputs_.push_back(placeholder.node);
  return {placeholder, device};
}

std::shared_ptr<const Graph> FunctionRecorder::finish(const std::vector<Tensor>& outputs) const {
  auto body = std::make_shared<Graph>();
  body->inputs = inputs_;
  for (const Tensor& output : outputs) body->outputs.push_back(output.value());
  return body;
}

Values apply_function(const std::shared_ptr<const Graph>& body, const std::vector<Tensor>& inputs) {
  Values values;
  values.reserve(inputs.size());
  for (const Tensor& input : inputs) values.push_back(detached(input.value()));
  const NodePtr node = Interner().fused(std::move(values), body);
  Values outputs;
  outputs.reserve(static_cast<size_t>(node->outputs()));
  for (int i = 0; i < node->outputs(); ++i) outputs.push_back({node, i});
  return outputs;
}

}  // namespace ds
