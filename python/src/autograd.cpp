// SPDX-License-Identifier: Apache-2.0
// Gradients, hooks and the modes of recording.
#include "ds/tensor/autograd.h"

#include <nanobind/stl/function.h>

#include "functions.h"
#include "release.h"

namespace {

using ds::Tensor;

/// The handle that register_hook returns.
struct HookHandle {
  Tensor tensor;
  uint64_t key;
};

/// A Python callable kept alive; may be dropped by any thread.
std::shared_ptr<nb::object> shared_callable(nb::object callable) {
  return {new nb::object(std::move(callable)), [](nb::object* object) {
            release_object(object->release().ptr());
            delete object;
          }};
}

struct GradFunction {
  std::string name;
};

}  // namespace

void bind_autograd(nb::module_& m, TensorClass& cls) {
  nb::class_<HookHandle>(m, "RemovableHandle").def("remove", [](HookHandle& h) {
    h.tensor.remove_hook(h.key);
  });
  nb::class_<GradFunction>(m, "GradFunction")
      .def("name", [](const GradFunction& f) { return f.name; })
      .def("__repr__", [](const GradFunction& f) { return "<" + f.name + ">"; });
  cls.def_prop_rw(
      "requires_grad", [](const Tensor& x) { return x.requires_grad(); },
      [](Tensor x, bool on) { x.requires_grad_(on); }, "Gradients are recorded for it.");
  cls.def_prop_rw(
      "grad", [](const Tensor& x) { return x.grad(); },
      [](Tensor x, const std::optional<Tensor>& grad) { x.set_grad(grad.value_or(Tensor())); },
      nb::for_setter(nb::arg().none()), "The accumulated gradient or None.");
  cls.def_prop_ro("is_leaf", [](const Tensor& x) { return x.is_leaf(); });
  cls.def_prop_ro("grad_fn", [](const Tensor& x) -> nb::object {
    const std::string name = x.grad_op();
    return name.empty() ? nb::none() : nb::cast(GradFunction{name});
  });
  cls.def(
      "requires_grad_", [](Tensor x, bool on) { return x.requires_grad_(on); },
      "requires_grad"_a = true);
  cls.def(
      "backward",
      [](const Tensor& x, const std::optional<Tensor>& gradient, std::optional<bool> retain,
         bool create) { x.backward(gradient.value_or(Tensor()), retain.value_or(create), create); },
      "gradient"_a = nb::none(), "retain_graph"_a = nb::none(), "create_graph"_a = false,
      "Adds the gradient of this tensor to the grad of every leaf.");
  cls.def(
      "detach", [](const Tensor& x) { return x.detach(); }, "The same values without history.");
  cls.def("detach_", [](const Tensor& x) {
    ds::GradMode no_grad(false);
    ds::assign(x, x.detach());
    return x;
  });
  cls.def("retain_grad", [](Tensor x) { x.retain_grad(); });
  cls.def(
      "register_hook",
      [](Tensor x, nb::object hook) {
        auto callable = shared_callable(std::move(hook));
        const uint64_t key = x.register_hook([callable](const Tensor& grad) {
          const nb::gil_scoped_acquire gil;
          const nb::object result = (*callable)(grad);
          return result.is_none() ? Tensor() : nb::cast<Tensor>(result);
        });
        return HookHandle{x, key};
      },
      "hook"_a,
      "Calls hook(grad) when the gradient of this tensor is known; returns a handle with "
      "remove().");
  m.def("_custom_gradient",
        [](const Tensor& output, const std::vector<Tensor>& inputs, nb::object backward) {
          auto callable = shared_callable(std::move(backward));
          return ds::custom_gradient(output, inputs, [callable](const Tensor& grad) {
            const nb::gil_scoped_acquire gil;
            std::vector<Tensor> grads;
            for (nb::handle item : nb::borrow<nb::sequence>((*callable)(grad)))
              grads.push_back(item.is_none() ? Tensor() : nb::cast<Tensor>(item));
            return grads;
          });
        });
  m.def("_grad", &ds::gradients);
  m.def("is_grad_enabled", &ds::grad_enabled, "Gradients are recorded on this thread.");
  m.def("_set_grad_enabled", &ds::set_grad_enabled);
  m.def(
      "_set_autocast",
      [](std::optional<ds::DType> dtype, bool conv, bool matmul, bool attention) {
        ds::set_autocast(dtype ? std::optional(ds::Autocast{*dtype, conv, matmul, attention})
                               : std::nullopt);
      },
      "dtype"_a.none(), "convolution"_a = true, "matmul"_a = true, "attention"_a = true);
  m.def("_autocast", []() -> nb::object {
    const auto& a = ds::autocast();
    return a ? nb::object(nb::make_tuple(a->dtype, a->convolution, a->matmul, a->attention))
             : nb::none();
  });
}
