// SPDX-License-Identifier: Apache-2.0
// The typed errors, one to one, each also a usual Python exception.
#include <nanobind/nanobind.h>

#include "bindings.h"
#include "ds/base/error.h"

namespace nb = nanobind;

namespace {

/// Makes the exception class, translates the C++ type to it.
template <class E>
void bind_error(nb::module_& m, const char* name, nb::handle base, PyObject* python_base) {
  nb::object bases =
      python_base ? nb::make_tuple(base, nb::handle(python_base)) : nb::make_tuple(base);
  const std::string full = std::string("deepseek.") + name;
  PyObject* type = PyErr_NewException(full.c_str(), bases.ptr(), nullptr);
  m.attr(name) = nb::steal(type);
  nb::register_exception_translator(
      [](const std::exception_ptr& p, void* payload) {
        try {
          std::rethrow_exception(p);
        } catch (const E& e) {
          PyErr_SetString(static_cast<PyObject*>(payload), e.what());
        }
      },
      type);
}

}  // namespace

void bind_errors(nb::module_& m) {
  // Translators are asked in reverse order of registration, so the base comes first.
  bind_error<ds::Error>(m, "Error", nb::handle(PyExc_Exception), nullptr);
  const nb::object base = m.attr("Error");
  bind_error<ds::ShapeError>(m, "ShapeError", base, PyExc_ValueError);
  bind_error<ds::DTypeError>(m, "DTypeError", base, PyExc_TypeError);
  bind_error<ds::DeviceError>(m, "DeviceError", base, PyExc_RuntimeError);
  bind_error<ds::ValueError>(m, "ValueError", base, PyExc_ValueError);
  bind_error<ds::IndexError>(m, "IndexError", base, PyExc_IndexError);
  bind_error<ds::KeyError>(m, "KeyError", base, PyExc_KeyError);
  bind_error<ds::StateError>(m, "StateError", base, PyExc_RuntimeError);
  bind_error<ds::FileFormatError>(m, "FileFormatError", base, PyExc_ValueError);
  bind_error<ds::IOError>(m, "IOError", base, PyExc_OSError);
  bind_error<ds::OutOfMemoryError>(m, "OutOfMemoryError", base, PyExc_MemoryError);
  bind_error<ds::NotImplementedError>(m, "NotImplementedError", base, PyExc_NotImplementedError);
  bind_error<ds::InternalError>(m, "InternalError", base, PyExc_RuntimeError);
}
