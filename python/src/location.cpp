// SPDX-License-Identifier: Apache-2.0
// The user's line for every recorded node: the innermost Python frame outside this package.
#include "ds/base/location.h"

#include <Python.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "bindings.h"
#include "ds/base/hash.h"

namespace nb = nanobind;

namespace {

struct Place {
  PyCodeObject* code;  // kept alive
  int instruction;
};

/// Under the GIL.
struct Places {
  std::vector<Place> list{{nullptr, 0}};
  std::unordered_map<uint64_t, uint32_t> keys;
  std::unordered_map<PyCodeObject*, bool> internal;  // code of this package
  std::string package;
};

Places& places() {
  static auto* instance = new Places;
  return *instance;
}

bool is_internal(PyCodeObject* code) {
  Places& p = places();
  const auto found = p.internal.find(code);
  if (found != p.internal.end()) return found->second;
  const char* file = PyUnicode_AsUTF8(code->co_filename);
  // Frozen modules are the interpreter's own: runpy below `python -m deepseek.cli`.
  const std::string_view name = file ? file : "";
  const bool internal =
      !p.package.empty() && (name.starts_with(p.package) || name.starts_with("<frozen"));
  Py_INCREF(code);  // its address must not be reused
  return p.internal[code] = internal;
}

uint32_t key_of(PyCodeObject* code, int instruction) {
  Places& p = places();
  const uint64_t hash =
      ds::hash_combine(reinterpret_cast<uintptr_t>(code), static_cast<uint64_t>(instruction));
  const auto [entry, made] = p.keys.try_emplace(hash, static_cast<uint32_t>(p.list.size()));
  if (made) p.list.push_back({code, instruction});
  return entry->second;
}

uint32_t provide() {
  if (!PyGILState_Check()) return 0;
  PyFrameObject* frame = PyEval_GetFrame();  // borrowed
  Py_XINCREF(frame);
  uint32_t key = 0;
  while (frame) {
    PyCodeObject* code = PyFrame_GetCode(frame);
    const bool internal = is_internal(code);
    if (!internal) key = key_of(code, PyFrame_GetLasti(frame));
    Py_DECREF(code);  // is_internal keeps one
    PyFrameObject* back = internal ? PyFrame_GetBack(frame) : nullptr;
    Py_DECREF(frame);
    frame = back;
  }
  return key;
}

std::string text(uint32_t key) {
  const nb::gil_scoped_acquire gil;
  const Places& p = places();
  if (key == 0 || key >= p.list.size()) return {};
  const Place& place = p.list[key];
  const char* file = PyUnicode_AsUTF8(place.code->co_filename);
  std::string name = file ? file : "?";
  name = name.substr(name.rfind('/') + 1);
  return name + ":" + std::to_string(PyCode_Addr2Line(place.code, place.instruction));
}

}  // namespace

void bind_location(nb::module_& m) {
  m.def("_set_package_path", [](const std::string& path) { places().package = path; });
  ds::set_location_source(&provide, &text);
}
