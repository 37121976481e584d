// SPDX-License-Identifier: Apache-2.0
// Optimizers and gradient clipping. The Python classes over these give groups and states the form
// of dictionaries.
#include <nanobind/stl/map.h>

#include "bindings.h"
#include "casters.h"
#include "ds/base/error.h"
#include "ds/optim/optimizers_adaptive.h"
#include "ds/tensor/ops.h"
#include "ds/train/grad_scaler.h"

using nb::literals::operator""_a;

namespace {

using namespace ds::optim;
using ds::Tensor;

ParamGroup& group_at(Optimizer& optimizer, size_t index) {
  DS_CHECK(index < optimizer.groups().size(), IndexError, "optimizer: there is no group ", index);
  return optimizer.groups()[index];
}

void set_hyper(Optimizer& optimizer, size_t index, const std::string& name, double value) {
  Hyper& hyper = group_at(optimizer, index).hyper;
  DS_CHECK(hyper.count(name) || name == "initial_lr", KeyError,
           "optimizer: ", optimizer.type_name(), " has no hyperparameter '", name, "'");
  hyper[name] = value;
}

nb::dict state_of(Optimizer& optimizer, const Tensor& param) {
  const ParamState& state = optimizer.state(param);
  nb::dict dict;
  for (const auto& [name, value] : state.numbers) dict[name.c_str()] = value;
  for (const auto& [name, tensor] : state.tensors) dict[name.c_str()] = tensor;
  return dict;
}

/// State that PyTorch keeps in 0-d tensors and the library in numbers.
bool is_number(const std::string& name) {
  return name == "step" || name == "mu_product" || name == "eta" || name == "mu";
}

/// Takes copies of the tensors.
void set_state(Optimizer& optimizer, const Tensor& param, const nb::dict& values) {
  ParamState next;
  std::vector<Tensor> copies;
  for (const auto& [key, value] : values) {
    const std::string name = nb::cast<std::string>(key);
    Tensor tensor;
    if (value.is_none()) continue;
    if (!nb::try_cast(value, tensor)) {
      next.numbers[name] = nb::cast<double>(value);
    } else if (is_number(name)) {
      next.numbers[name] = tensor.item();
    } else {
      const ds::GradMode no_grad(false);
      if (ds::is_floating(tensor.dtype())) tensor = ds::to_dtype(tensor, param.dtype());
      copies.push_back(ds::clone(ds::to_device(tensor.detach(), param.device())));
      next.tensors[name] = copies.back();
    }
  }
  ds::evaluate(copies);
  optimizer.state(param) = std::move(next);
}

void bind_base(nb::module_& m) {
  nb::class_<Optimizer>(m, "Optimizer", nb::is_weak_referenceable())
      .def("step", [](Optimizer& self) { self.step(); })
      .def("zero_grad", &Optimizer::zero_grad, "set_to_none"_a = true)
      .def("add_group", &Optimizer::add_group, "params"_a, "overrides"_a = Hyper())
      .def("group_count", [](const Optimizer& self) { return self.groups().size(); })
      .def("params", [](Optimizer& self, size_t index) { return group_at(self, index).params; })
      .def("hyper", [](Optimizer& self, size_t index) { return group_at(self, index).hyper; })
      .def("get", [](Optimizer& self, size_t index,
                     const std::string& name) { return group_at(self, index).at(name); })
      .def("set", &set_hyper)
      .def("state", &state_of)
      .def("set_state", &set_state)
      .def("type_name", &Optimizer::type_name);
}

void bind_classes(nb::module_& m) {
  nb::class_<SGD, Optimizer>(m, "SGD").def(
      nb::init<Params, double, double, double, double, bool, bool>(), "params"_a, "lr"_a,
      "momentum"_a, "dampening"_a, "weight_decay"_a, "nesterov"_a, "maximize"_a);
  nb::class_<Adam, Optimizer>(m, "Adam").def(
      nb::init<Params, double, double, double, double, double, bool, bool>(), "params"_a, "lr"_a,
      "beta1"_a, "beta2"_a, "eps"_a, "weight_decay"_a, "amsgrad"_a, "maximize"_a);
  nb::class_<AdamW, Adam>(m, "AdamW")
      .def(nb::init<Params, double, double, double, double, double, bool, bool>(), "params"_a,
           "lr"_a, "beta1"_a, "beta2"_a, "eps"_a, "weight_decay"_a, "amsgrad"_a, "maximize"_a);
  nb::class_<RMSprop, Optimizer>(m, "RMSprop")
      .def(nb::init<Params, double, double, double, double, double, bool, bool>(), "params"_a,
           "lr"_a, "alpha"_a, "eps"_a, "weight_decay"_a, "momentum"_a, "centered"_a, "maximize"_a);
  nb::class_<Adagrad, Optimizer>(m, "Adagrad")
      .def(nb::init<Params, double, double, double, double, double, bool>(), "params"_a, "lr"_a,
           "lr_decay"_a, "weight_decay"_a, "initial_accumulator_value"_a, "eps"_a, "maximize"_a);
  nb::class_<Adafactor, Optimizer>(m, "Adafactor")
      .def(nb::init<Params, double, double, double, double, double, double, bool>(), "params"_a,
           "lr"_a, "beta2_decay"_a, "eps1"_a, "eps2"_a, "d"_a, "weight_decay"_a, "maximize"_a);
  nb::class_<LAMB, Optimizer>(m, "LAMB").def(
      nb::init<Params, double, double, double, double, double>(), "params"_a, "lr"_a, "beta1"_a,
      "beta2"_a, "eps"_a, "weight_decay"_a);
  nb::class_<Lion, Optimizer>(m, "Lion").def(nb::init<Params, double, double, double, double>(),
                                             "params"_a, "lr"_a, "beta1"_a, "beta2"_a,
                                             "weight_decay"_a);
}

void bind_adaptive(nb::module_& m) {
  nb::class_<Adadelta, Optimizer>(m, "Adadelta")
      .def(nb::init<Params, double, double, double, double, bool>(), "params"_a, "lr"_a, "rho"_a,
           "eps"_a, "weight_decay"_a, "maximize"_a);
  nb::class_<Adamax, Optimizer>(m, "Adamax")
      .def(nb::init<Params, double, double, double, double, double, bool>(), "params"_a, "lr"_a,
           "beta1"_a, "beta2"_a, "eps"_a, "weight_decay"_a, "maximize"_a);
  nb::class_<NAdam, Optimizer>(m, "NAdam")
      .def(nb::init<Params, double, double, double, double, double, double, bool, bool>(),
           "params"_a, "lr"_a, "beta1"_a, "beta2"_a, "eps"_a, "weight_decay"_a, "momentum_decay"_a,
           "decoupled_weight_decay"_a, "maximize"_a);
  nb::class_<RAdam, Optimizer>(m, "RAdam")
      .def(nb::init<Params, double, double, double, double, double, bool, bool>(), "params"_a,
           "lr"_a, "beta1"_a, "beta2"_a, "eps"_a, "weight_decay"_a, "decoupled_weight_decay"_a,
           "maximize"_a);
  nb::class_<Rprop, Optimizer>(m, "Rprop")
      .def(nb::init<Params, double, double, double, double, double, bool>(), "params"_a, "lr"_a,
           "eta_minus"_a, "eta_plus"_a, "step_min"_a, "step_max"_a, "maximize"_a);
  nb::class_<ASGD, Optimizer>(m, "ASGD").def(
      nb::init<Params, double, double, double, double, double, bool>(), "params"_a, "lr"_a,
      "lambd"_a, "alpha"_a, "t0"_a, "weight_decay"_a, "maximize"_a);
}

void bind_scaler(nb::module_& m) {
  using ds::train::GradScaler;
  nb::class_<GradScaler>(m, "GradScaler", nb::is_weak_referenceable())
      .def(
          "__init__",
          [](GradScaler* self, double scale, double growth, double backoff, int64_t interval,
             bool enabled) {
            new (self)
                GradScaler(ds::train::GradScalerOptions{scale, growth, backoff, interval, enabled});
          },
          "init_scale"_a, "growth_factor"_a, "backoff_factor"_a, "growth_interval"_a, "enabled"_a)
      .def("scale", &GradScaler::scale)
      .def("unscale_", &GradScaler::unscale_)
      .def("step", &GradScaler::step)
      .def("update", &GradScaler::update)
      .def("get_scale", &GradScaler::get_scale)
      .def("skipped_steps", &GradScaler::skipped_steps)
      .def("is_enabled", &GradScaler::is_enabled)
      .def("state_dict",
           [](const GradScaler& self) {
             nb::dict dict;
             for (const auto& [name, tensor] : self.state_dict()) dict[name.c_str()] = tensor;
             return dict;
           })
      .def("load_state_dict", [](GradScaler& self, const nb::dict& state) {
        std::vector<std::pair<std::string, Tensor>> values;
        for (const auto& [name, tensor] : state)
          values.emplace_back(nb::cast<std::string>(name), nb::cast<Tensor>(tensor));
        self.load_state_dict(values);
      });
}

}  // namespace

void bind_optim(nb::module_& m) {
  nb::module_ f = m.def_submodule("optim", "The optimizers of the C++ library.");
  bind_base(f);
  bind_classes(f);
  bind_adaptive(f);
  bind_scaler(f);
  f.def("clip_grad_norm_", &clip_grad_norm_, "parameters"_a, "max_norm"_a, "norm_type"_a = 2.0,
        "error_if_nonfinite"_a = false);
  f.def("clip_grad_value_", &clip_grad_value_, "parameters"_a, "clip_value"_a);
}
