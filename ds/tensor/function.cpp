// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/function.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "ds/base/hash.h"
#include "ds/base/location.h"
#include "ds/base/options.h"
#include "ds/engine/engine.h"
#include "ds/ir/build.h"
#include "ds/tensor/record.h"
#include "ds/tensor/replay.h"
#include "ds/tensor/tensor_impl.h"

namespace ds {
namespace {

thread_local bool t_recording = false;

/// What a function was recorded for, as numbers.
using Key = std::vector<uint64_t>;

struct HashKey {
  size_t operator()(const Key& key) const {
    uint64_t hash = 0;
    for (const uint64_t part : key) hash = hash_combine(hash, part);
    return hash;
  }
};

Key make_key(const char* name, const std::vector<double>& numbers,
             const std::vector<Tensor>& inputs) {
  Key key{std::bit_cast<uint64_t>(name), inputs[0].device().backend};
  if (const std::optional<Autocast>& on = autocast())
    key.push_back(static_cast<uint64_t>(on->dtype) * 8 + on->convolution * 4u + on->matmul * 2u +
                  on->attention);
  key.reserve(5 + numbers.size() + 5 * inputs.size());
  for (const double number : numbers) key.push_back(std::bit_cast<uint64_t>(number));
  for (const Tensor& input : inputs) {
    const Type& type = input.type();
    key.push_back(static_cast<uint64_t>(type.dtype) * 256 +
                  static_cast<uint64_t>(type.shape.rank()));
    for (const int64_t size : type.shape) key.push_back(static_cast<uint64_t>(size));
  }
  return key;
}

// Some dozens for each model; programs that see ever new shapes begin anew.
constexpr size_t kMaxFunctions = 4096;

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

FunctionPtr FunctionRecorder::finish(const std::vector<Tensor>& outputs) const {
  Graph body{inputs_, {}};
  for (const Tensor& output : outputs) body.outputs.push_back(output.value());
  return std::make_shared<const Function>(std::move(body));
}

Values apply_function(const FunctionPtr& function, const std::vector<Tensor>& inputs) {
  Values values;
  values.reserve(inputs.size());
  {
    const std::lock_guard lock(graph_mutex());
    // No variable is made for a leaf whose gradient is not asked for.
    for (const Tensor& input : inputs) {
      Capture::note_read(*input.impl());
      values.push_back(grad_enabled() ? input.value() : detached(input.impl()->current()));
    }
  }
  const NodePtr node = Interner().fused(std::move(values), function);
  Values outputs;
  outputs.reserve(static_cast<size_t>(node->outputs()));
  for (int i = 0; i < node->outputs(); ++i) outputs.push_back({node, i});
  return outputs;
}

std::vector<Tensor> call_function(
    const char* name, const std::vector<double>& numbers, const std::vector<Tensor>& inputs,
    const std::function<std::vector<Tensor>(const std::vector<Tensor>&)>& compose) {
  const Device device = inputs[0].device();
  const bool one_device = std::all_of(
      inputs.begin(), inputs.end(), [&](const Tensor& input) { return input.device() == device; });
  if (options().eager || recording_function() || !one_device) return compose(inputs);
  const LocationScope place(current_location());  // the binding's lock is not asked for under ours
  const std::lock_guard lock(graph_mutex());
  static auto* functions = new std::unordered_map<Key, FunctionPtr, HashKey>;
  Key key = make_key(name, numbers, inputs);
  auto found = functions->find(key);
  if (found == functions->end()) {
    if (functions->size() >= kMaxFunctions) functions->clear();
    const GradMode no_grad(false);
    FunctionRecorder recorder;
    std::vector<Tensor> stand_ins;
    for (const Tensor& input : inputs)
      stand_ins.push_back(recorder.input(input.type(), input.device()));
    found = functions->emplace(std::move(key), recorder.finish(compose(stand_ins))).first;
  }
  std::vector<Tensor> outputs;
  for (const Value& value : apply_function(found->second, inputs))
    outputs.emplace_back(value, device);
  return outputs;
}

}  // namespace ds
