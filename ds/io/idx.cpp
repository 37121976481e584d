// SPDX-License-Identifier: Apache-2.0
#include "ds/io/idx.h"

#include <algorithm>

#include "ds/base/error.h"
#include "ds/io/gzip.h"

namespace ds::io {
namespace {

DType dtype_of_code(uint8_t code, const std::string& path) {
  switch (code) {
    case 0x08: return DType::u8;
    case 0x09: return DType::i8;
    case 0x0b: return DType::i16;
    case 0x0c: return DType::i32;
    case 0x0d: return DType::f32;
    case 0x0e: return DType::f64;
    default: break;
  }
  throw FileFormatError(str(path, ": IDX type code ", int{code}, " is not known"));
}

}  // namespace

Tensor load_idx(const std::string& path) {
  std::vector<unsigned char> bytes = read_maybe_gzip(path);
  ByteReader reader(bytes, path);
  DS_CHECK(reader.left() >= 4 && reader.little<uint16_t>() == 0, FileFormatError, path,
           ": not an IDX file");
  Type type{dtype_of_code(reader.little<uint8_t>(), path), {}};
  const auto rank = reader.little<uint8_t>();
  DS_CHECK(rank <= kMaxRank, FileFormatError, path, ": ", int{rank}, " dimensions");
  uint64_t size = dtype_size(type.dtype);
  for (int i = 0; i < rank; ++i) {
    type.shape.push_back(reader.big32());
    DS_CHECK(!__builtin_mul_overflow(size, static_cast<uint64_t>(type.shape.back()), &size),
             FileFormatError, path, ": the sizes ", type.shape, " are too large to exist");
  }
  DS_CHECK(size == reader.left(), FileFormatError, path, ": ", type, " needs ", size, " bytes, ",
           reader.left(), " follow the header");
  unsigned char* elements = bytes.data() + reader.position();
  const size_t item = dtype_size(type.dtype);
  for (size_t i = 0; item > 1 && i < size; i += item)  // stored with the high byte first
    std::reverse(elements + i, elements + i + item);
  return Tensor::from_host(elements, type);
}

}  // namespace ds::io
