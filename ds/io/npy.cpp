// SPDX-License-Identifier: Apache-2.0
#include "ds/io/npy.h"

#include "ds/base/error.h"
#include "ds/io/file.h"
#include "ds/io/zip.h"
#include "ds/runtime/buffer.h"
#include "ds/tensor/ops_shape.h"

namespace ds::io {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

struct DTypeRow {
  DType dtype;
  const char* descr;
};
constexpr DTypeRow kDTypes[] = {
    {DType::f64, "<f8"}, {DType::f32, "<f4"}, {DType::f16, "<f2"},
    {DType::i64, "<i8"}, {DType::i32, "<i4"}, {DType::i16, "<i2"},
    {DType::i8, "|i1"},  {DType::u8, "|u1"},  {DType::bool_, "|b1"},
};

/// The text behind 'key': in a Python dict literal, up to the next comma outside parentheses.
std::string field(const std::string& header, const std::string& key, const std::string& path) {
  const size_t at = header.find("'" + key + "':");
  DS_CHECK(at != std::string::npos, FileFormatError, path, ": the header lacks '", key, "'");
  size_t begin = at + key.size() + 3;
  while (begin < header.size() && header[begin] == ' ') ++begin;
  int depth = 0;
  size_t end = begin;
  for (; end < header.size(); ++end) {
    const char c = header[end];
    if (c == '(') ++depth;
    if (c == ')') --depth;
    if (depth == 0 && (c == ',' || c == '}')) break;
  }
  return header.substr(begin, end - begin);
}

DType parse_descr(const std::string& text, const std::string& path) {
  std::string descr = text;
  if (descr.size() >= 2 && descr.front() == '\'') descr = descr.substr(1, descr.size() - 2);
  if (descr.size() == 3 && descr[0] == '=') descr[0] = '<';
  for (const DTypeRow& row : kDTypes)
    if (descr == row.descr ||
        (descr.size() == 3 && descr.substr(1) == row.descr + 1 && dtype_size(row.dtype) == 1))
      return row.dtype;
  throw FileFormatError(
      str(path, ": dtype ", text, " is not available; save the array as float32 or int64"));
}

Shape parse_shape(const std::string& text, const std::string& path) {
  Shape shape;
  DS_CHECK(text.size() >= 2 && text.front() == '(' && text.back() == ')', FileFormatError, path,
           ": the shape ", text, " is damaged");
  std::string digits;
  for (const char c : text.substr(1)) {
    if (c >= '0' && c <= '9' && digits.size() < 18) {
      digits += c;
      continue;
    }
    DS_CHECK(c == ',' || c == ' ' || c == ')', FileFormatError, path, ": the shape ", text,
             " is damaged");
    if (digits.empty() || c == ' ') continue;
    DS_CHECK(shape.rank() < kMaxRank, FileFormatError, path, ": more than ", kMaxRank,
             " dimensions");
    shape.push_back(std::stoll(digits));
    digits.clear();
  }
  return shape;
}

Tensor parse(Bytes bytes, const std::shared_ptr<const void>& owner, const std::string& path) {
  ByteReader reader(bytes, path);
  DS_CHECK(reader.left() >= kMagic.size() && reader.text(kMagic.size()) == kMagic, FileFormatError,
           path, ": not a .npy file");
  const auto major = reader.little<uint8_t>();
  reader.take(1);
  DS_CHECK(major >= 1 && major <= 3, FileFormatError, path, ": version ", int{major},
           " of the format is not known");
  const uint32_t length = major == 1 ? reader.little<uint16_t>() : reader.little<uint32_t>();
  const std::string header(reader.text(length));
  Type type{parse_descr(field(header, "descr", path), path), {}};
  const bool fortran = field(header, "fortran_order", path) == "True";
  type.shape = parse_shape(field(header, "shape", path), path);
  const size_t size = type_bytes(type);
  const Bytes elements = reader.take(size);
  Shape stored = type.shape;
  if (fortran)
    for (int i = 0; i < stored.rank(); ++i) stored[i] = type.shape[stored.rank() - 1 - i];
  const bool aligned = reinterpret_cast<uintptr_t>(elements.data()) % dtype_size(type.dtype) == 0;
  const Type file_type{type.dtype, stored};
  const Tensor tensor = aligned && size > 0
                            ? Tensor::from_memory({std::const_pointer_cast<void>(owner),
                                                   const_cast<unsigned char*>(elements.data())},
                                                  file_type)
                            : Tensor::from_host(elements.data(), file_type);
  return fortran ? contiguous(reverse_dims(tensor)) : tensor;
}

}  // namespace

Tensor load_npy(const std::string& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  return parse(file->bytes(), file, path);
}

NamedTensors load_npz(const std::string& path) {
  const ZipReader zip(std::make_shared<const MappedFile>(path));
  NamedTensors arrays;
  for (const ZipReader::Entry& entry : zip.entries()) {
    const ZipReader::Contents contents = zip.read(entry);
    const std::string name =
        entry.name.ends_with(".npy") ? entry.name.substr(0, entry.name.size() - 4) : entry.name;
    arrays.emplace_back(name, parse(contents.bytes, contents.owner, path + ": " + entry.name));
  }
  return arrays;
}

void save_npy(const Tensor& tensor, const std::string& path) {
  const char* descr = nullptr;
  for (const DTypeRow& row : kDTypes)
    if (row.dtype == tensor.dtype()) descr = row.descr;
  DS_CHECK(descr, DTypeError, "save_npy: NumPy has no ", tensor.dtype(),
           "; convert the tensor to float32");
  std::string shape = "(";
  for (int64_t size : tensor.shape()) shape += str(size, ", ");
  std::string header =
      str("{'descr': '", descr, "', 'fortran_order': False, 'shape': ", shape, "), }");
  // Elements start at a multiple of 64 bytes, behind magic, version and length.
  const size_t before = kMagic.size() + 4;
  header.resize((before + header.size() + 1 + 63) / 64 * 64 - before - 1, ' ');
  header += '\n';
  std::vector<char> bytes(type_bytes(tensor.type()));
  tensor.copy_to_host(bytes.data());
  AtomicFile file(path);
  file.write(kMagic);
  const auto length = static_cast<uint16_t>(header.size());
  file.write("\x01");
  file.write(std::string_view("\0", 1));
  file.write(&length, sizeof length);
  file.write(header);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

}  // namespace ds::io
