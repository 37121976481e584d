// SPDX-License-Identifier: Apache-2.0
// The extension module deepseek._core: translation between Python and C++, no maths.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings.h"
#include "ds/base/cpu_features.h"
#include "ds/base/parallel.h"
#include "ds/base/version.h"
#include "ds/runtime/device.h"

namespace nb = nanobind;

NB_MODULE(_core, m) {
  m.attr("__version__") = DS_VERSION;
  bind_errors(m);
  m.def("num_threads", &ds::num_threads, "Threads that a parallel loop uses.");
  m.def("set_num_threads", &ds::set_num_threads, nb::arg("count"),
        "Sets the number of threads of later loops; ValueError below 1.");
  m.def("backend_names", &ds::backend_names, "Names of the devices in this build.");
  m.def(
      "cpu_info",
      [] {
        const ds::CpuFeatures& f = ds::cpu_features();
        nb::dict info;
        info["model"] = f.model;
        info["avx2"] = f.avx2;
        info["avx512"] = f.avx512;
        info["bf16"] = f.bf16;
        info["fp16"] = f.fp16;
        info["amx"] = f.amx;
        return info;
      },
      "What the processor computes in.");
}
