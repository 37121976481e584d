// SPDX-License-Identifier: Apache-2.0
#include "ds/tensor/replay.h"

#include <map>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "ds/base/location.h"
#include "ds/base/options.h"
#include "ds/engine/engine.h"
#include "ds/ir/build.h"
#include "ds/tensor/tensor_impl.h"

namespace ds {
namespace {

thread_local Capture* t_capture = nullptr;

bool is_constant(const Node& node) {
  return node.info().op_class == OpClass::source && node.op() != Op::input_;
}

/// The value without the markers of autograd, as a replay binds it.
Value plain_value(TensorImpl& impl) { return strip_markers(impl.current()); }

using ValueKey = std::pair<const Node*, int>;
ValueKey key(const Value& value) { return {value.node.get(), value.index}; }

}  // namespace

/// Tensors that a call may read, by the values they had in it.
class Sources {
 public:
  /// False when another tensor has the value too: which of the two the call read is not known. Of
  /// tensors that are no arguments, views of one another go on having one value.
  bool add(const std::shared_ptr<TensorImpl>& tensor, bool argument) {
    const auto [found, made] = places_.emplace(key(plain_value(*tensor)), tensors_.size());
    if (made) {
      tensors_.push_back(tensor);
      arguments_ += argument;
      return true;
    }
    TensorImpl& known = *tensors_[found->second];
    return &known == tensor.get() ||
           (found->second >= arguments_ && &known.root() == &tensor->root());
  }
  std::optional<size_t> find(const Value& value) const {
    const auto found = places_.find(key(value));
    return found == places_.end() ? std::nullopt : std::optional(found->second);
  }
  const std::vector<std::shared_ptr<TensorImpl>>& tensors() const { return tensors_; }

 private:
  std::map<ValueKey, size_t> places_;
  size_t arguments_ = 0;  // of the tensors, the first ones
  std::vector<std::shared_ptr<TensorImpl>> tensors_;
};

namespace {

/// Copies what leads to the outputs, with placeholders where the values of sources are read.
class Body {
 public:
  Body(uint64_t start, const Sources& sources) : start_(start), sources_(sources) {}

  /// False when a value from before the call is read that is not known.
  bool add_output(const Value& value) {
    if (!copy(strip_markers(value))) return false;
    graph_.outputs.push_back(find(strip_markers(value)));
    return true;
  }

  FunctionPtr finish() {
    auto function = std::make_shared<Function>(std::move(graph_));
    function->own_places = true;
    return function;
  }
  /// The source of each input of the function.
  const std::vector<size_t>& used() const { return used_; }

 private:
  /// Copies everything that `root` depends on, deepest first.
  bool copy(const Value& root) {
    std::vector<std::pair<Value, bool>> stack{{root, false}};
    while (!stack.empty()) {
      auto [value, expanded] = stack.back();
      stack.pop_back();
      const Node& node = *value.node;
      if (bind_known(value) || done_.count(&node)) continue;
      if (expanded) {
        copy_node(node);
        continue;
      }
      if (!is_constant(node) && (node.op() == Op::input_ || node.id() < start_)) return false;
      stack.emplace_back(value, true);
      for (const Value& input : node.inputs()) stack.emplace_back(strip_markers(input), false);
    }
    return true;
  }

  bool bind_known(const Value& value) {
    if (bound_.count(key(value))) return true;
    const auto source = sources_.find(value);
    if (!source) return false;
    const auto place = static_cast<int64_t>(graph_.inputs.size());
    const Type& type = value.type();
    graph_.inputs.push_back(interner_.node(Op::input_, {}, {place, type.dtype, type.shape}));
    bound_[key(value)] = {graph_.inputs.back(), 0};
    used_.push_back(*source);
    return true;
  }

  void copy_node(const Node& node) {
    Values inputs;
    for (const Value& input : node.inputs()) inputs.push_back(find(strip_markers(input)));
    Values& outputs = done_[&node];
    if (node.op() == Op::fused_) {
      outputs = inline_function(node, inputs, {}, interner_);
      return;
    }
    const NodePtr made = interner_.rebuild(node, std::move(inputs));
    for (int i = 0; i < made->outputs(); ++i) outputs.push_back({made, i});
  }

  Value find(const Value& value) const {
    const auto bound = bound_.find(key(value));
    if (bound != bound_.end()) return bound->second;
    return done_.at(value.node.get())[static_cast<size_t>(value.index)];
  }

  uint64_t start_;
  const Sources& sources_;
  Interner interner_;
  Graph graph_;
  std::map<ValueKey, Value> bound_;
  std::unordered_map<const Node*, Values> done_;
  std::vector<size_t> used_;
};

std::optional<size_t> position(const std::vector<Tensor>& arguments, const Tensor& tensor) {
  for (size_t i = 0; i < arguments.size(); ++i)
    if (arguments[i].impl() == tensor.impl()) return i;
  return std::nullopt;
}

}  // namespace

bool capturing() { return t_capture != nullptr; }

Capture::Capture() : start_(make_constant(0, DType::f32).node->id()) {
  t_capture = this;
  if (options().eager) refused_ = "operations run at once (DS_EAGER)";
}
Capture::~Capture() {
  if (watching_) t_capture = nullptr;
}

void Capture::note_read(TensorImpl& impl) {
  if (!t_capture) return;
  t_capture->reads_.push_back({impl.weak_from_this(), false});
  if (impl.parent) t_capture->reads_.push_back({impl.root().weak_from_this(), true});
}

void Capture::note_write(TensorImpl& impl) {
  if (!t_capture) return;
  TensorImpl& root = impl.root();
  t_capture->writes_.push_back(
      {root.weak_from_this(), strip_markers(root.value).node->id() < t_capture->start_});
}

void Capture::refuse(const char* reason) {
  if (t_capture && !t_capture->refused_) t_capture->refused_ = reason;
}

std::string Capture::check(const std::vector<Tensor>& arguments,
                           const std::vector<Tensor>& outputs) const {
  if (refused_) return refused_;
  std::unordered_set<const TensorImpl*> given, roots;
  for (const Tensor& argument : arguments) given.insert(&argument.impl()->root());
  for (const Tensor& output : outputs) {
    if (output.requires_grad()) return "an output needs a gradient";
    if (position(arguments, output)) continue;
    TensorImpl& root = output.impl()->root();
    if (given.count(&root)) return "an output shares memory with an argument";
    if (plain_value(root).node->id() < start_) return "an output is a tensor from before the call";
    if (!roots.insert(&root).second) return "two outputs share memory";
  }
  for (const Write& write : writes_) {
    const auto root = write.root.lock();
    if (root && (write.old || given.count(root.get()) || !roots.count(root.get())))
      return "it writes to a tensor that lives on";
  }
  bool kept = false;
  for_each_live([&](TensorImpl& impl) {
    const Node& node = *strip_markers(impl.value).node;
    kept = kept || (node.id() > start_ && !roots.count(&impl) && !given.count(&impl));
  });
  return kept ? "a tensor that it makes is kept somewhere" : "";
}

bool Capture::collect(const std::vector<Tensor>& arguments, Sources& sources) const {
  std::unordered_set<const TensorImpl*> given;
  for (const Tensor& argument : arguments) {
    given.insert(&argument.impl()->root());
    if (!sources.add(argument.impl(), true)) return false;
  }
  for (const Read& read : reads_) {
    const auto impl = read.tensor.lock();
    if (!impl || plain_value(*impl).node->id() > start_) continue;
    if (read.through_view && given.count(impl.get())) continue;
    if (!sources.add(impl, false)) return false;
  }
  return true;
}

std::pair<ReplayPtr, std::string> Capture::finish(const std::vector<Tensor>& arguments,
                                                  const std::vector<Tensor>& outputs) {
  watching_ = false;
  t_capture = nullptr;
  const std::lock_guard lock(graph_mutex());
  std::string reason = check(arguments, outputs);
  if (!reason.empty()) return {nullptr, reason};
  Sources sources;
  if (!collect(arguments, sources)) return {nullptr, "one value is read as two tensors"};
  Body body(start_, sources);
  auto replay = std::make_shared<Replay>();
  int results = 0;
  for (const Tensor& output : outputs) {
    if (const auto at = position(arguments, output)) {
      replay->outputs_.push_back(-1 - static_cast<int>(*at));
      continue;
    }
    if (!body.add_output(output.impl()->current()))
      return {nullptr, "it reads a tensor that is made of host data in each call"};
    replay->outputs_.push_back(results++);
    replay->device_ = output.device();
  }
  for (const size_t source : body.used()) {
    const std::shared_ptr<TensorImpl>& impl = sources.tensors()[source];
    if (impl->device != replay->device_) return {nullptr, "it uses several devices"};
    const auto at = position(arguments, Tensor(impl));
    replay->inputs_.push_back({at ? static_cast<int>(*at) : -1, impl, impl->type});
  }
  if (results > 0) replay->function_ = body.finish();
  return {replay, ""};
}

std::optional<std::vector<Tensor>> Replay::run(const std::vector<Tensor>& arguments) const {
  const LocationScope place(current_location());  // the binding's lock is not asked for under ours
  std::vector<Tensor> results;
  {
    const std::lock_guard lock(graph_mutex());
    Values values;
    values.reserve(inputs_.size());
    for (const ReplayInput& input : inputs_) {
      const Tensor tensor = input.argument >= 0 ? arguments[static_cast<size_t>(input.argument)]
                                                : Tensor(input.tensor.lock());
      if (!tensor.defined() || !(tensor.type() == input.type) || tensor.device() != device_ ||
          (grad_enabled() && tensor.requires_grad()))
        return std::nullopt;
      values.push_back(plain_value(*tensor.impl()));
    }
    NodePtr node;
    if (function_) node = Interner().fused(std::move(values), function_);
    for (const int output : outputs_)
      results.push_back(output < 0 ? arguments[static_cast<size_t>(-1 - output)]
                                   : Tensor({node, output}, device_));
  }
  bound_growth();
  return results;
}

}  // namespace ds
