// SPDX-License-Identifier: Apache-2.0
// The extension module deepseek._core: translation between Python and C++, no maths.
#include <algorithm>
#include <cstring>

#include "bindings.h"
#include "casters.h"
#include "ds/base/cpu_features.h"
#include "ds/base/options.h"
#include "ds/base/parallel.h"
#include "ds/base/version.h"
#include "header_docs.h"

const char* header_doc(const std::string& name) {
  const auto* last = kHeaderDocs + std::size(kHeaderDocs);
  const auto* found =
      std::lower_bound(kHeaderDocs, last, name,
                       [](const HeaderDoc& row, const std::string& n) { return row.name < n; });
  return found != last && name == found->name ? found->doc : "";
}

namespace {

nb::dict cpu_info() {
  const ds::CpuFeatures& f = ds::cpu_features();
  nb::dict info;
  info["model"] = f.model;
  info["avx2"] = f.avx2;
  info["avx512"] = f.avx512;
  info["bf16"] = f.bf16;
  info["fp16"] = f.fp16;
  info["amx"] = f.amx;
  return info;
}

nb::list environment_options() {
  nb::list rows;
  ds::Options defaults;
  defaults.for_each([&](const auto& value, const char* name, const char* help) {
    rows.append(nb::make_tuple(name, nb::cast(value), help));
  });
  return rows;
}

}  // namespace

NB_MODULE(_core, m) {
  // Modules hold Python objects that live until the interpreter ends; that is no leak of ours.
  nb::set_leak_warnings(false);
  m.attr("__version__") = DS_VERSION;
  bind_errors(m);
  bind_location(m);
  bind_types(m);
  TensorClass cls(m, "Tensor", nb::dynamic_attr(), nb::is_weak_referenceable(),
                  "An n-dimensional array whose value is recorded now and computed when needed.");
  bind_tensor(m, cls);
  bind_numpy(m, cls);
  bind_indexing(m, cls);
  bind_autograd(m, cls);
  bind_elementwise(m, cls);
  bind_reduce(m, cls);
  bind_shape(m, cls);
  bind_create(m, cls);
  bind_index_ops(m, cls);
  bind_linalg(m, cls);
  bind_functional(m);
  bind_engine(m);
  bind_compile(m);
  bind_io(m);
  bind_text(m);
  bind_data(m);
  nb::module_ nn = m.def_submodule("nn", "Module and the layers.");
  bind_module(nn);
  bind_layers(nn);
  bind_sequence_layers(nn);
  bind_init(nn);
  bind_optim(m);
  bind_hub(m);
  bind_schedulers(m);
  bind_train(m);
  m.def("num_threads", &ds::num_threads, "Threads that a parallel loop uses.");
  m.def("set_num_threads", &ds::set_num_threads, nb::arg("count"),
        "Sets the number of threads of later loops; ValueError below 1.");
  m.def("backend_names", &ds::backend_names, "Names of the devices in this build.");
  m.def("cpu_info", &cpu_info, "What the processor computes in.");
  m.def("_environment_options", &environment_options);
}
