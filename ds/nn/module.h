// SPDX-License-Identifier: Apache-2.0
// Module: a tree of named parameters, buffers and children, as torch.nn.Module. Layers derive from
// it in C++; Python classes derive from the same class through the binding.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ds/tensor/tensor.h"

namespace ds::nn {

class Module;
using ModulePtr = std::shared_ptr<Module>;
template <class T>
using Named = std::vector<std::pair<std::string, T>>;
/// Parameters and persistent buffers by their dotted names, in order of registration.
using StateDict = Named<Tensor>;

/// The object that stands for a module in another language, such as Python's, where a user may have
/// overridden what the module does.
class Peer {
 public:
  virtual ~Peer() = default;
  /// Calls of the module from C++ go through the peer: it has hooks or overrides.
  virtual bool intercepts() const = 0;
  /// What calling the module does there, hooks included.
  virtual Tensor call(const Tensor& x) = 0;
  virtual void train(bool on) = 0;
  /// The first output of an attention module called with query, key, value and masks, without
  /// asking for the weights.
  virtual Tensor attend(const std::vector<Tensor>& inputs, const std::optional<Tensor>& key_padding,
                        const std::optional<Tensor>& mask, bool causal) = 0;
};

/// Names that load_state_dict could not match.
struct LoadResult {
  std::vector<std::string> missing;     // in the module, not in the state
  std::vector<std::string> unexpected;  // in the state, not in the module
};

class Module : public std::enable_shared_from_this<Module> {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module& operator=(const Module&) = delete;

  /// Class name in repr(), such as "Linear".
  virtual std::string type_name() const { return "Module"; }
  /// Arguments in repr(), such as "in_features=4, out_features=2, bias=True".
  virtual std::string extra_repr() const { return {}; }
  /// The computation of a module of one input and one output; NotImplementedError by default.
  virtual Tensor forward(const Tensor& x);
  /// forward() between the hooks; through the peer when it intercepts.
  Tensor operator()(const Tensor& x);
  /// What the hooks of each kind make of an input or an output.
  Tensor run_pre_hooks(const Tensor& x);
  Tensor run_hooks(const Tensor& x, const Tensor& out);
  bool has_hooks() const { return !pre_hooks_.empty() || !hooks_.empty(); }

  /// Set by the binding while its object lives; not owned.
  void set_peer(Peer* peer) { peer_ = peer; }
  Peer* peer() const { return peer_; }

  /// Adds a parameter (requires_grad is set) or, when undefined, its name only (a bias that is
  /// switched off). ValueError when the name is taken, empty or contains a dot.
  Tensor register_parameter(const std::string& name, Tensor parameter);
  /// A tensor that is saved (when persistent) and moved with the module but not trained.
  Tensor register_buffer(const std::string& name, Tensor buffer, bool persistent = true);
  void register_module(const std::string& name, ModulePtr module);
  /// Makes, registers and returns a child: `conv = add<Conv2d>("conv", Conv2dOptions{...})`.
  template <class M, class... Args>
  std::shared_ptr<M> add(const std::string& name, Args&&... args) {
    auto module = std::make_shared<M>(std::forward<Args>(args)...);
    register_module(name, module);
    return module;
  }

  /// A tensor that stands in for a parameter that was removed, as weight normalisation and pruning
  /// leave one; it is not listed, saved or moved. Undefined: none any more.
  void set_stand_in(const std::string& name, Tensor tensor);

  /// By own name, else the stand-in; KeyError when absent. Undefined: registered as None.
  Tensor parameter(const std::string& name) const;
  Tensor buffer(const std::string& name) const;
  ModulePtr child(const std::string& name) const;
  /// The child as a layer of a known class; StateError when something else took its place.
  template <class M>
  M& child_as(const std::string& name) const {
    auto* found = dynamic_cast<M*>(child(name).get());
    if (!found) fail_replaced(name);
    return *found;
  }
  /// The parameter, or nothing when it is registered as None.
  std::optional<Tensor> optional_parameter(const std::string& name) const;
  std::optional<Tensor> optional_buffer(const std::string& name) const;
  bool has_parameter(const std::string& name) const;
  bool has_buffer(const std::string& name) const;
  bool has_child(const std::string& name) const;
  /// Own parameters, undefined ones included, and own buffers, by order of registration.
  const Named<Tensor>& own_parameters() const { return parameters_; }
  Named<Tensor> own_buffers() const;
  bool is_persistent(const std::string& buffer) const;
  /// Replaces a registered tensor or child; KeyError when absent.
  void set_parameter(const std::string& name, Tensor parameter);
  void set_buffer(const std::string& name, Tensor buffer);
  void set_child(const std::string& name, ModulePtr module);
  /// Removes a parameter, buffer or child; KeyError when absent.
  void remove(const std::string& name);

  /// Defined parameters with dotted names; a shared one once.
  Named<Tensor> named_parameters(bool recurse = true, const std::string& prefix = "") const;
  std::vector<Tensor> parameters(bool recurse = true) const;
  Named<Tensor> named_buffers(bool recurse = true, const std::string& prefix = "") const;
  std::vector<Tensor> buffers(bool recurse = true) const;
  const Named<ModulePtr>& named_children() const { return children_; }
  /// This module under `prefix`, then all below it, a shared one once.
  Named<ModulePtr> named_modules(const std::string& prefix = "");
  std::vector<ModulePtr> modules();
  /// The module at a dotted path; KeyError when absent.
  ModulePtr get_submodule(const std::string& path);

  /// Grows with every change of what is registered here and of the module's settings, but not of
  /// tensors' values and of the training mode.
  uint64_t revision() const { return revision_; }
  /// A setting was changed.
  void touch() { ++revision_; }

  /// Sets training mode here and below.
  void train(bool on = true);
  /// Sets training mode here only.
  void set_training(bool on) { training_ = on; }
  void eval() { train(false); }
  bool is_training() const { return training_; }
  /// f for every module, children first.
  void apply(const std::function<void(Module&)>& f);
  /// Converts floating parameters and buffers; others stay.
  void to(DType dtype);
  void to(Device device);
  void requires_grad_(bool on = true);
  /// Drops the gradients of all parameters.
  void zero_grad();

  StateDict state_dict(const std::string& prefix = "") const;
  /// Copies values into the parameters and buffers of the same names. ShapeError lists every
  /// tensor whose shape differs; with `strict`, KeyError lists missing and unexpected names.
  /// Nothing is changed when it throws.
  LoadResult load_state_dict(const StateDict& state, bool strict = true);

  using PreHook = std::function<Tensor(Module&, const Tensor& input)>;
  using Hook = std::function<Tensor(Module&, const Tensor& input, const Tensor& output)>;
  /// Called before forward(); a defined result replaces the input. Returns a key for remove_hook.
  uint64_t register_forward_pre_hook(PreHook hook);
  /// Called after forward(); a defined result replaces the output.
  uint64_t register_forward_hook(Hook hook);
  void remove_hook(uint64_t key);

  /// The tree as text, as PyTorch prints it.
  std::string repr() const;

 protected:
  /// For copies of layers: the mode, but no parameters, buffers, children or hooks.
  Module(const Module& other)
      : std::enable_shared_from_this<Module>(other), training_(other.training_) {}

 private:
  struct Buffer {
    Tensor tensor;
    bool persistent;
  };
  [[noreturn]] void fail_replaced(const std::string& name) const;
  void check_name(const std::string& name, const char* what) const;
  void collect_state(const std::string& prefix, StateDict& state) const;

  Named<Tensor> parameters_;
  Named<Tensor> stand_ins_;
  Named<Buffer> buffers_;
  Named<ModulePtr> children_;
  std::vector<std::pair<uint64_t, PreHook>> pre_hooks_;
  std::vector<std::pair<uint64_t, Hook>> hooks_;
  uint64_t next_hook_ = 1;
  Peer* peer_ = nullptr;
  uint64_t revision_ = 0;
  bool training_ = true;
};

}  // namespace ds::nn
