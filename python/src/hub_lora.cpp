// SPDX-License-Identifier: Apache-2.0
// Layers with LoRA adapters, in the submodule _hub.
#include "ds/base/error.h"
#include "ds/hub/lora.h"
#include "hub.h"

namespace {

namespace hub = ds::hub;

hub::LoraStart start_of(nb::handle value) {
  if (nb::isinstance<nb::bool_>(value))
    return nb::cast<bool>(value) ? hub::LoraStart::standard : hub::LoraStart::random;
  DS_CHECK(nb::isinstance<nb::str>(value) && nb::cast<std::string>(value) == "gaussian",
           NotImplementedError, "LoraConfig: init_lora_weights ", nb::repr(value).c_str(),
           " is not available; use True, False or 'gaussian'");
  return hub::LoraStart::gaussian;
}

}  // namespace

void bind_lora(nb::module_& m) {
  m.def(
      "lora_kind", [](const ds::nn::Module& layer) { return hub::lora_kind(layer); }, "layer"_a);
  using L = hub::LoraLayer;
  LayerClass<L>(m, "LoraLayer", "A layer with LoRA adapters by name.")
      .init([](ds::nn::ModulePtr base) { return std::make_shared<L>(std::move(base)); },
            "base_layer"_a)
      .argument("base_layer", [](const L& self) { return self.child("base_layer"); })
      .def(
          "add_adapter",
          [](L& self, const std::string& name, int64_t r, double alpha, double dropout, bool rslora,
             nb::object start, bool keep_float32) {
            self.add_adapter(name, {r, alpha, dropout, rslora, start_of(start), keep_float32});
          },
          "name"_a, "r"_a, "alpha"_a, "dropout"_a = 0.0, "rslora"_a = false, "start"_a = true,
          "keep_float32"_a = true)
      .def("delete_adapter", [](L& self, const std::string& name) { self.delete_adapter(name); })
      .def("has_adapter",
           [](const L& self, const std::string& name) { return self.has_adapter(name); })
      .def("set_active",
           [](L& self, std::vector<std::string> names) { self.set_active(std::move(names)); })
      .def("set_enabled", [](L& self, bool on) { self.set_enabled(on); })
      .def("scaling", [](const L& self, const std::string& name) { return self.scaling(name); })
      .def("get_delta_weight",
           [](const L& self, const std::string& name) { return self.delta_weight(name); })
      .def("merge", [](L& self, const std::vector<std::string>& names,
                       bool safe) { self.merge(names, safe); })
      .def("unmerge", [](L& self) { self.unmerge(); })
      .property("merged_adapters", [](const L& self) { return self.merged(); })
      .forward();
}
