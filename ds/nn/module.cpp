// SPDX-License-Identifier: Apache-2.0
#include "ds/nn/module.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "ds/base/error.h"
#include "ds/tensor/record.h"

namespace ds::nn {
namespace {

template <class T>
auto find(T& list, const std::string& name) {
  return std::find_if(list.begin(), list.end(),
                      [&](const auto& entry) { return entry.first == name; });
}

template <class T>
auto& at(T& list, const std::string& name, const char* what) {
  const auto found = find(list, name);
  DS_CHECK(found != list.end(), KeyError, "module: it has no ", what, " named '", name, "'");
  return found->second;
}

template <class T>
void erase_named(T& list, const std::string& name) {
  std::erase_if(list, [&](const auto& entry) { return entry.first == name; });
}

std::string join(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

std::string listing(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < 20; ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > 20) text += str(", ... (", names.size(), " in all)");
  return text;
}

/// Indents all lines but the first by two spaces.
std::string indented(const std::string& text) {
  std::string out;
  for (char c : text) {
    out += c;
    if (c == '\n') out += "  ";
  }
  return out;
}

/// The converted value in the same handle, so that an optimizer made before keeps its parameters.
void convert(const Tensor& tensor, const std::function<Tensor(const Tensor&)>& f) {
  const GradMode no_grad(false);
  const Tensor converted = f(tensor);
  if (converted.impl() == tensor.impl()) return;
  const Tensor grad = tensor.grad();
  tensor.set_data(converted);
  if (grad.defined()) Tensor(tensor).set_grad(f(grad));
}

}  // namespace

Tensor Module::forward(const Tensor&) {
  throw NotImplementedError(str(type_name(), ": forward() is not defined for one tensor"));
}

Tensor Module::run_pre_hooks(const Tensor& x) {
  Tensor input = x;
  for (const auto& [key, hook] : pre_hooks_)
    if (Tensor replaced = hook(*this, input); replaced.defined()) input = replaced;
  return input;
}

Tensor Module::run_hooks(const Tensor& x, const Tensor& out) {
  Tensor output = out;
  for (const auto& [key, hook] : hooks_)
    if (Tensor replaced = hook(*this, x, output); replaced.defined()) output = replaced;
  return output;
}

Tensor Module::operator()(const Tensor& x) {
  if (peer_ && peer_->intercepts()) return peer_->call(x);
  if (!has_hooks()) return forward(x);
  const Tensor input = run_pre_hooks(x);
  return run_hooks(input, forward(input));
}

void Module::check_name(const std::string& name, const char* what) const {
  DS_CHECK(!name.empty() && name.find('.') == std::string::npos, ValueError, "module: the ", what,
           " name '", name, "' is empty or contains a dot");
  DS_CHECK(!has_parameter(name) && !has_buffer(name) && !has_child(name), ValueError,
           "module: the name '", name, "' is already taken");
}

Tensor Module::register_parameter(const std::string& name, Tensor parameter) {
  touch();
  check_name(name, "parameter");
  if (parameter.defined() && !parameter.requires_grad() && is_floating(parameter.dtype()))
    parameter.requires_grad_();
  if (parameter.defined()) parameter.set_parameter(true);
  parameters_.emplace_back(name, parameter);
  return parameter;
}

Tensor Module::register_buffer(const std::string& name, Tensor buffer, bool persistent) {
  touch();
  check_name(name, "buffer");
  buffers_.emplace_back(name, Buffer{buffer, persistent});
  return buffer;
}

void Module::register_module(const std::string& name, ModulePtr module) {
  touch();
  check_name(name, "child");
  children_.emplace_back(name, std::move(module));
}

void Module::set_stand_in(const std::string& name, Tensor tensor) {
  touch();
  erase_named(stand_ins_, name);
  if (tensor.defined()) stand_ins_.emplace_back(name, std::move(tensor));
}

Tensor Module::parameter(const std::string& name) const {
  if (!stand_ins_.empty() && !has_parameter(name))
    if (const auto found = find(stand_ins_, name); found != stand_ins_.end()) return found->second;
  return at(parameters_, name, "parameter");
}
Tensor Module::buffer(const std::string& name) const { return at(buffers_, name, "buffer").tensor; }
std::optional<Tensor> Module::optional_parameter(const std::string& name) const {
  Tensor tensor = parameter(name);
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}
std::optional<Tensor> Module::optional_buffer(const std::string& name) const {
  Tensor tensor = buffer(name);
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}
ModulePtr Module::child(const std::string& name) const { return at(children_, name, "child"); }
void Module::fail_replaced(const std::string& name) const {
  const ModulePtr found = child(name);
  throw StateError(str(type_name(), ": its child '", name, "' was replaced by ",
                       found ? found->type_name() : "None", ", which does not take its arguments"));
}
bool Module::has_parameter(const std::string& name) const {
  return find(parameters_, name) != parameters_.end();
}
bool Module::has_buffer(const std::string& name) const {
  return find(buffers_, name) != buffers_.end();
}
bool Module::has_child(const std::string& name) const {
  return find(children_, name) != children_.end();
}

Named<Tensor> Module::own_buffers() const {
  Named<Tensor> list;
  for (const auto& [name, buffer] : buffers_) list.emplace_back(name, buffer.tensor);
  return list;
}
bool Module::is_persistent(const std::string& buffer) const {
  return at(buffers_, buffer, "buffer").persistent;
}

void Module::set_parameter(const std::string& name, Tensor parameter) {
  touch();
  at(parameters_, name, "parameter") = std::move(parameter);
}
void Module::set_buffer(const std::string& name, Tensor buffer) {
  touch();
  at(buffers_, name, "buffer").tensor = std::move(buffer);
}
void Module::set_child(const std::string& name, ModulePtr module) {
  ModulePtr& child = at(children_, name, "child");
  if (child != module) touch();  // a wrapper of the same module is no change
  child = std::move(module);
}

void Module::remove(const std::string& name) {
  touch();
  DS_CHECK(has_parameter(name) || has_buffer(name) || has_child(name), KeyError,
           "module: it has nothing named '", name, "'");
  erase_named(parameters_, name);
  erase_named(buffers_, name);
  erase_named(children_, name);
}

Named<ModulePtr> Module::named_modules(const std::string& prefix) {
  Named<ModulePtr> list;
  std::unordered_set<Module*> seen;
  const std::function<void(const ModulePtr&, const std::string&)> visit =
      [&](const ModulePtr& module, const std::string& name) {
        if (!module || !seen.insert(module.get()).second) return;
        list.emplace_back(name, module);
        for (const auto& [child_name, child] : module->children_)
          visit(child, join(name, child_name));
      };
  visit(shared_from_this(), prefix);
  return list;
}

std::vector<ModulePtr> Module::modules() {
  std::vector<ModulePtr> list;
  for (auto& [name, module] : named_modules()) list.push_back(module);
  return list;
}

namespace {

/// visit(module, path) for a module and all below it, a shared one once.
template <class Visit>
void walk(const Module& module, const std::string& path, std::unordered_set<const Module*>& seen,
          const Visit& visit) {
  if (!seen.insert(&module).second) return;
  visit(module, path);
  for (const auto& [name, child] : module.named_children())
    if (child) walk(*child, join(path, name), seen, visit);
}

/// The defined tensors that own(module) lists, a shared one once.
template <class Own>
Named<Tensor> named_tensors(const Module& root, bool recurse, const std::string& prefix,
                            const Own& own) {
  Named<Tensor> list;
  std::unordered_set<const TensorImpl*> seen_tensors;
  const auto visit = [&](const Module& module, const std::string& path) {
    for (const auto& [name, tensor] : own(module))
      if (tensor.defined() && seen_tensors.insert(tensor.impl().get()).second)
        list.emplace_back(join(path, name), tensor);
  };
  std::unordered_set<const Module*> seen_modules;
  if (recurse)
    walk(root, prefix, seen_modules, visit);
  else
    visit(root, prefix);
  return list;
}

}  // namespace

Named<Tensor> Module::named_parameters(bool recurse, const std::string& prefix) const {
  return named_tensors(*this, recurse, prefix,
                       [](const Module& module) { return module.own_parameters(); });
}

std::vector<Tensor> Module::parameters(bool recurse) const {
  std::vector<Tensor> list;
  for (auto& [name, tensor] : named_parameters(recurse)) list.push_back(tensor);
  return list;
}

Named<Tensor> Module::named_buffers(bool recurse, const std::string& prefix) const {
  return named_tensors(*this, recurse, prefix,
                       [](const Module& module) { return module.own_buffers(); });
}

std::vector<Tensor> Module::buffers(bool recurse) const {
  std::vector<Tensor> list;
  for (auto& [name, tensor] : named_buffers(recurse)) list.push_back(tensor);
  return list;
}

ModulePtr Module::get_submodule(const std::string& path) {
  ModulePtr module = shared_from_this();
  for (size_t start = 0; start < path.size();) {
    const size_t dot = std::min(path.find('.', start), path.size());
    module = module->child(path.substr(start, dot - start));
    start = dot + 1;
  }
  return module;
}

void Module::train(bool on) {
  if (peer_ && peer_->intercepts()) return peer_->train(on);
  training_ = on;
  for (const auto& [name, child] : children_)
    if (child) child->train(on);
}

void Module::apply(const std::function<void(Module&)>& f) {
  for (const auto& [name, child] : children_)
    if (child) child->apply(f);
  f(*this);
}

void Module::to(DType dtype) {
  DS_CHECK(is_floating(dtype), DTypeError, "to: a module converts to floating dtypes, not ", dtype);
  apply([&](Module& module) {
    const auto change = [&](const Tensor& tensor) {
      if (tensor.defined() && is_floating(tensor.dtype()))
        convert(tensor, [&](const Tensor& t) { return to_dtype(t, dtype); });
    };
    for (auto& [name, tensor] : module.parameters_) change(tensor);
    for (auto& [name, buffer] : module.buffers_) change(buffer.tensor);
  });
}

void Module::to(Device device) {
  apply([&](Module& module) {
    const auto change = [&](const Tensor& tensor) {
      if (tensor.defined()) convert(tensor, [&](const Tensor& t) { return to_device(t, device); });
    };
    for (auto& [name, tensor] : module.parameters_) change(tensor);
    for (auto& [name, buffer] : module.buffers_) change(buffer.tensor);
  });
}

void Module::requires_grad_(bool on) {
  for (Tensor& parameter : parameters()) parameter.requires_grad_(on);
}

void Module::zero_grad() {
  for (Tensor& parameter : parameters()) parameter.set_grad({});
}

void Module::collect_state(const std::string& prefix, StateDict& state) const {
  for (const auto& [name, tensor] : parameters_)
    if (tensor.defined()) state.emplace_back(join(prefix, name), tensor);
  for (const auto& [name, buffer] : buffers_)
    if (buffer.tensor.defined() && buffer.persistent)
      state.emplace_back(join(prefix, name), buffer.tensor);
  for (const auto& [name, child] : children_)
    if (child) child->collect_state(join(prefix, name), state);
}

StateDict Module::state_dict(const std::string& prefix) const {
  StateDict state;
  collect_state(prefix, state);
  return state;
}

LoadResult Module::load_state_dict(const StateDict& state, bool strict) {
  std::unordered_map<std::string, const Tensor*> given;
  for (const auto& [name, tensor] : state) given[name] = &tensor;
  LoadResult result;
  std::vector<std::string> misshaped;
  const StateDict own = state_dict();
  std::unordered_set<std::string> known;
  for (const auto& [name, tensor] : own) {
    known.insert(name);
    const auto found = given.find(name);
    if (found == given.end())
      result.missing.push_back(name);
    else if (found->second->shape() != tensor.shape())
      misshaped.push_back(
          str(name, " (", found->second->shape(), " given, ", tensor.shape(), " expected)"));
  }
  for (const auto& [name, tensor] : state)
    if (!known.count(name)) result.unexpected.push_back(name);
  DS_CHECK(misshaped.empty(), ShapeError, "load_state_dict: shapes differ: ", listing(misshaped));
  DS_CHECK(
      !strict || (result.missing.empty() && result.unexpected.empty()), KeyError,
      "load_state_dict: missing names: ", result.missing.empty() ? "none" : listing(result.missing),
      "; unexpected names: ", result.unexpected.empty() ? "none" : listing(result.unexpected),
      "; pass strict=False to load the rest");
  const GradMode no_grad(false);
  for (const auto& [name, tensor] : own)
    if (const auto found = given.find(name); found != given.end())
      ds::assign(tensor, to_device(*found->second, tensor.device()));
  return result;
}

uint64_t Module::register_forward_pre_hook(PreHook hook) {
  pre_hooks_.emplace_back(next_hook_, std::move(hook));
  return next_hook_++;
}

uint64_t Module::register_forward_hook(Hook hook) {
  hooks_.emplace_back(next_hook_, std::move(hook));
  return next_hook_++;
}

void Module::remove_hook(uint64_t key) {
  std::erase_if(pre_hooks_, [&](const auto& entry) { return entry.first == key; });
  std::erase_if(hooks_, [&](const auto& entry) { return entry.first == key; });
}

std::string Module::repr() const {
  const std::string extra = extra_repr();
  std::string body;
  for (const auto& [name, child] : children_)
    body += "\n  (" + name + "): " + (child ? indented(child->repr()) : "None");
  if (body.empty()) return type_name() + "(" + extra + ")";
  return type_name() + "(" + (extra.empty() ? "" : "\n  " + extra) + body + "\n)";
}

}  // namespace ds::nn
