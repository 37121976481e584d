// SPDX-License-Identifier: Apache-2.0
// deepseek.nn.init.
#include "bindings.h"
#include "casters.h"
#include "ds/nn/init.h"

using nb::literals::operator""_a;

void bind_init(nb::module_& m) {
  namespace init = ds::nn::init;
  nb::module_ f = m.def_submodule("init", "Initialisation of parameters in place.");
  const auto generator = nb::arg("generator") = nb::none();
  using ds::Tensor;
  // PyTorch's `generator` is accepted as None only: numbers come from the default generator.
  f.def(
      "uniform_",
      [](const Tensor& t, double a, double b, nb::none) { return init::uniform_(t, a, b); },
      "tensor"_a, "a"_a = 0.0, "b"_a = 1.0, generator);
  f.def(
      "normal_",
      [](const Tensor& t, double mean, double std, nb::none) {
        return init::normal_(t, mean, std);
      },
      "tensor"_a, "mean"_a = 0.0, "std"_a = 1.0, generator);
  f.def(
      "trunc_normal_",
      [](const Tensor& t, double mean, double std, double a, double b, nb::none) {
        return init::trunc_normal_(t, mean, std, a, b);
      },
      "tensor"_a, "mean"_a = 0.0, "std"_a = 1.0, "a"_a = -2.0, "b"_a = 2.0, generator);
  f.def("constant_", &init::constant_, "tensor"_a, "val"_a);
  f.def("zeros_", &init::zeros_, "tensor"_a);
  f.def("ones_", &init::ones_, "tensor"_a);
  f.def("eye_", &init::eye_, "tensor"_a);
  f.def("dirac_", &init::dirac_, "tensor"_a, "groups"_a = 1);
  const auto xavier = [&](const char* name, Tensor (*fill)(const Tensor&, double)) {
    f.def(
        name, [fill](const Tensor& t, double gain, nb::none) { return fill(t, gain); }, "tensor"_a,
        "gain"_a = 1.0, generator);
  };
  xavier("xavier_uniform_", &init::xavier_uniform_);
  xavier("xavier_normal_", &init::xavier_normal_);
  xavier("orthogonal_", &init::orthogonal_);
  const auto kaiming = [&](const char* name,
                           Tensor (*fill)(const Tensor&, double, const std::string&,
                                          const std::string&)) {
    f.def(
        name,
        [fill](const Tensor& t, double a, const std::string& mode, const std::string& nonlinearity,
               nb::none) { return fill(t, a, mode, nonlinearity); },
        "tensor"_a, "a"_a = 0.0, "mode"_a = "fan_in", "nonlinearity"_a = "leaky_relu", generator);
  };
  kaiming("kaiming_uniform_", &init::kaiming_uniform_);
  kaiming("kaiming_normal_", &init::kaiming_normal_);
  f.def(
      "sparse_",
      [](const Tensor& t, double sparsity, double std, nb::none) {
        return init::sparse_(t, sparsity, std);
      },
      "tensor"_a, "sparsity"_a, "std"_a = 0.01, generator);
  f.def(
      "calculate_gain",
      [](const std::string& nonlinearity, std::optional<double> param) {
        return init::calculate_gain(nonlinearity, param.value_or(0.01));
      },
      "nonlinearity"_a, "param"_a = nb::none());
  f.def(
      "_calculate_fan_in_and_fan_out",
      [](const Tensor& t) {
        const init::Fans fans = init::fans(t);
        return nb::make_tuple(fans.in, fans.out);
      },
      "tensor"_a);
}
