// SPDX-License-Identifier: Apache-2.0
// Readers and writers of files, in the submodule _io.
#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>

#include "ds/base/error.h"
#include "ds/io/cifar.h"
#include "ds/io/csv.h"
#include "ds/io/idx.h"
#include "ds/io/image.h"
#include "ds/io/npy.h"
#include "ds/io/safetensors.h"
#include "ds/io/torch_file.h"
#include "functions.h"

namespace {

using ds::Tensor;
namespace io = ds::io;

nb::dict to_dict(const io::NamedTensors& tensors) {
  nb::dict dict;
  for (const auto& [name, tensor] : tensors) dict[name.c_str()] = tensor;
  return dict;
}

io::NamedTensors to_named(const nb::dict& tensors) {
  io::NamedTensors named;
  for (const auto& [name, tensor] : tensors)
    named.emplace_back(nb::cast<std::string>(name), nb::cast<Tensor>(tensor));
  return named;
}

nb::object to_python(const io::Tree& tree);

nb::object list_to_python(const io::TreeList& list) {
  nb::list items;
  for (const io::Tree& item : list.items) items.append(to_python(item));
  return list.tuple ? nb::object(nb::tuple(items)) : nb::object(items);
}

nb::object dict_to_python(const io::TreeDict& dict) {
  nb::dict items;
  for (const auto& [key, value] : dict.items) items[to_python(key)] = to_python(value);
  return items;
}

nb::object to_python(const io::Tree& tree) {
  return std::visit(
      [](const auto& v) -> nb::object {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::monostate>)
          return nb::none();
        else if constexpr (std::is_same_v<T, io::TreeList>)
          return list_to_python(v);
        else if constexpr (std::is_same_v<T, io::TreeDict>)
          return dict_to_python(v);
        else
          return nb::cast(v);
      },
      tree.value);
}

io::ImageMode mode_of(const std::string& mode) {
  if (mode == "unchanged") return io::ImageMode::unchanged;
  if (mode == "gray") return io::ImageMode::gray;
  DS_CHECK(mode == "rgb", ValueError, "image: mode '", mode,
           "' is unknown; use 'rgb', 'gray' or 'unchanged'");
  return io::ImageMode::rgb;
}

}  // namespace

void bind_io(nb::module_& module) {
  nb::module_ m = module.def_submodule("_io");
  m.def(
      "load_safetensors",
      [](const std::string& path) {
        const io::Safetensors file = io::load_safetensors(path);
        return nb::make_tuple(to_dict(file.tensors), file.metadata);
      },
      "path"_a);
  m.def(
      "save_safetensors",
      [](const nb::dict& tensors, const std::string& path, const io::Metadata& metadata) {
        const io::NamedTensors named = to_named(tensors);
        const Unlocked unlocked;
        io::save_safetensors(named, path, metadata);
      },
      "tensors"_a, "path"_a, "metadata"_a = io::Metadata());
  m.def("load_torch", [](const std::string& path) { return to_python(io::load_torch(path)); });
  m.def("load_npy", &io::load_npy, "path"_a);
  m.def("load_npz", [](const std::string& path) { return to_dict(io::load_npz(path)); });
  m.def("save_npy", &io::save_npy, "tensor"_a, "path"_a);
  m.def(
      "load_csv",
      [](const std::string& path, const std::string& delimiter) {
        const io::CsvTable table = io::load_csv(path, delimiter.empty() ? '\0' : delimiter[0]);
        return nb::make_tuple(table.columns, table.values);
      },
      "path"_a, "delimiter"_a = "");
  m.def("load_idx", &io::load_idx, "path"_a);
  m.def("load_cifar", &io::load_cifar, "paths"_a, "label_bytes"_a = 1);
  m.def(
      "read_image",
      [](const std::string& path, const std::string& mode) {
        return io::read_image(path, mode_of(mode));
      },
      "path"_a, "mode"_a = "rgb");
  m.def(
      "decode_image",
      [](const nb::bytes& bytes, const std::string& name, const std::string& mode) {
        const auto* data = static_cast<const unsigned char*>(bytes.data());
        return io::image_tensor(io::decode_image({data, bytes.size()}, name, mode_of(mode)));
      },
      "bytes"_a, "name"_a, "mode"_a = "rgb");
  m.def("write_png", &io::write_png, "image"_a, "path"_a);
}
