// SPDX-License-Identifier: Apache-2.0
#include "ds/io/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "ds/base/error.h"
#include "ds/io/file.h"
#include "ds/runtime/buffer.h"

namespace ds::io {
namespace {

using Json = nlohmann::ordered_json;

// A header longer than this is hostile; upstream has the same limit.
constexpr uint64_t kMaxHeader = 100'000'000;

struct DTypeRow {
  DType dtype;
  const char* name;
};
constexpr DTypeRow kDTypes[] = {
    {DType::f64, "F64"}, {DType::f32, "F32"},    {DType::f16, "F16"}, {DType::bf16, "BF16"},
    {DType::i64, "I64"}, {DType::i32, "I32"},    {DType::i16, "I16"}, {DType::i8, "I8"},
    {DType::u8, "U8"},   {DType::bool_, "BOOL"},
};

/// Eight-bit floating-point numbers, which no DType has: they are read as bf16, which holds each of
/// them exactly (Micikevicius et al., "FP8 Formats for Deep Learning", 2022).
struct Float8 {
  const char* name;
  int mantissa_bits, bias;
  bool has_infinity;  // else the highest exponent has numbers, and one NaN
};
constexpr Float8 kFloat8[] = {{"F8_E4M3", 3, 7, false}, {"F8_E5M2", 2, 15, true}};

const Float8* find_float8(const std::string& name) {
  for (const Float8& format : kFloat8)
    if (name == format.name) return &format;
  return nullptr;
}

float value_of(const Float8& format, unsigned char bits) {
  const int mantissa = bits & ((1 << format.mantissa_bits) - 1);
  const int exponents = 0x7f >> format.mantissa_bits,
            exponent = (bits & 0x7f) >> format.mantissa_bits;
  const float sign = (bits & 0x80) != 0 ? -1.0F : 1.0F;
  if (exponent == exponents && format.has_infinity)
    return mantissa == 0 ? sign * std::numeric_limits<float>::infinity()
                         : std::numeric_limits<float>::quiet_NaN();
  if ((bits & 0x7f) == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  const int whole = exponent == 0 ? mantissa : mantissa + (1 << format.mantissa_bits);
  return sign * std::ldexp(static_cast<float>(whole),
                           std::max(exponent, 1) - format.bias - format.mantissa_bits);
}

Tensor tensor_of_float8(const Float8& format, const unsigned char* bytes, const Shape& shape) {
  std::array<uint16_t, 256> table{};
  for (size_t i = 0; i < table.size(); ++i)
    table[i] = static_cast<uint16_t>(
        std::bit_cast<uint32_t>(value_of(format, static_cast<unsigned char>(i))) >> 16);
  std::vector<uint16_t> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = table[bytes[i]];
  return Tensor::from_host(values.data(), {DType::bf16, shape});
}

DType dtype_of_name(const std::string& name, const std::string& tensor, const std::string& path) {
  for (const DTypeRow& row : kDTypes)
    if (name == row.name) return row.dtype;
  throw FileFormatError(str(path, ": tensor '", tensor, "' has dtype ", name,
                            ", which is not available; convert the file"));
}

const char* name_of_dtype(DType dtype) {
  for (const DTypeRow& row : kDTypes)
    if (dtype == row.dtype) return row.name;
  throw InternalError("safetensors: unknown dtype");
}

struct Entry {
  std::string name;
  Type type;
  uint64_t begin, end;
  const Float8* float8;  // of the bytes, where the type is of what they become
};

uint64_t unsigned_number(const Json& value, const std::string& path, const std::string& what) {
  DS_CHECK(value.is_number_unsigned(), FileFormatError, path, ": ", what,
           " is not a non-negative integer");
  return value.get<uint64_t>();
}

/// Parses the header; a name twice is an error, which a JSON library would hide.
Json parse_header(std::string_view text, const std::string& path) {
  std::vector<std::set<std::string>> keys;
  const Json::parser_callback_t check = [&](int depth, Json::parse_event_t event, Json& value) {
    DS_CHECK(depth <= 4, FileFormatError, path, ": the header is nested too deeply");
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key)
      DS_CHECK(keys.back().insert(value.get<std::string>()).second, FileFormatError, path,
               ": the header names '", value.get<std::string>(), "' twice");
    return true;
  };
  try {
    Json header = Json::parse(text, check);
    DS_CHECK(header.is_object(), FileFormatError, path, ": the header is not a JSON object");
    return header;
  } catch (const nlohmann::json::exception& e) {
    throw FileFormatError(str(path, ": the header is not JSON: ", e.what()));
  }
}

Entry parse_entry(const std::string& name, const Json& value, const std::string& path,
                  uint64_t data_size) {
  const std::string what = "tensor '" + name + "'";
  DS_CHECK(value.is_object() && value.contains("dtype") && value["dtype"].is_string() &&
               value.contains("shape") && value["shape"].is_array() &&
               value.contains("data_offsets") && value["data_offsets"].is_array() &&
               value["data_offsets"].size() == 2,
           FileFormatError, path, ": ", what, " lacks dtype, shape or data_offsets");
  const auto type = value["dtype"].get<std::string>();
  const Float8* float8 = find_float8(type);
  Entry entry{name, {float8 ? DType::bf16 : dtype_of_name(type, name, path), {}}, 0, 0, float8};
  DS_CHECK(value["shape"].size() <= static_cast<size_t>(kMaxRank), FileFormatError, path, ": ",
           what, " has ", value["shape"].size(), " dimensions, at most ", kMaxRank,
           " are possible");
  uint64_t bytes = float8 ? 1 : dtype_size(entry.type.dtype);
  for (const Json& item : value["shape"]) {
    const uint64_t size = unsigned_number(item, path, what + " shape");
    DS_CHECK(size <= uint64_t{1} << 62 && !__builtin_mul_overflow(bytes, size, &bytes),
             FileFormatError, path, ": ", what, " is too large to exist");
    entry.type.shape.push_back(static_cast<int64_t>(size));
  }
  entry.begin = unsigned_number(value["data_offsets"][0], path, what + " offset");
  entry.end = unsigned_number(value["data_offsets"][1], path, what + " offset");
  DS_CHECK(entry.begin <= entry.end && entry.end <= data_size && entry.end - entry.begin == bytes,
           FileFormatError, path, ": ", what, " ", entry.type, " needs ", bytes,
           " bytes, its offsets are ", entry.begin, " to ", entry.end, " of ", data_size);
  return entry;
}

/// Row-major bytes of a tensor.
std::vector<char> bytes_of(const Tensor& tensor) {
  std::vector<char> bytes(type_bytes(tensor.type()));
  tensor.copy_to_host(bytes.data());
  return bytes;
}

}  // namespace

Safetensors load_safetensors(const std::string& path) {
  auto file = std::make_shared<MappedFile>(path);
  ByteReader reader(file->bytes(), path);
  const auto header_size = reader.little<uint64_t>();
  DS_CHECK(header_size <= kMaxHeader, FileFormatError, path, ": the header claims ", header_size,
           " bytes; this is no safetensors file");
  const Json header = parse_header(reader.text(header_size), path);
  const Bytes data = file->bytes().subspan(reader.position());
  Safetensors result;
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      entries.push_back(parse_entry(name, value, path, data.size()));
      continue;
    }
    DS_CHECK(value.is_object(), FileFormatError, path, ": __metadata__ is not an object");
    for (const auto& [key, text] : value.items()) {
      DS_CHECK(text.is_string(), FileFormatError, path, ": metadata '", key, "' is not text");
      result.metadata[key] = text.get<std::string>();
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t next = 0;
  for (const Entry& entry : entries) {
    DS_CHECK(entry.begin == next, FileFormatError, path, ": tensor '", entry.name,
             "' begins at byte ", entry.begin, ", not at ", next,
             "; tensors overlap or leave a gap");
    next = entry.end;
    const unsigned char* elements = data.data() + entry.begin;
    if (entry.float8) {
      result.tensors.emplace_back(entry.name,
                                  tensor_of_float8(*entry.float8, elements, entry.type.shape));
      continue;
    }
    const bool aligned = reinterpret_cast<uintptr_t>(elements) % dtype_size(entry.type.dtype) == 0;
    result.tensors.emplace_back(
        entry.name, aligned && entry.begin < entry.end
                        ? Tensor::from_memory({file, const_cast<unsigned char*>(elements)},
                                              entry.type, default_device(), /*shared=*/false)
                        : Tensor::from_host(elements, entry.type));
  }
  DS_CHECK(next == data.size(), FileFormatError, path, ": ", data.size() - next,
           " bytes behind the last tensor belong to none");
  return result;
}

void save_safetensors(const NamedTensors& tensors, const std::string& path,
                      const Metadata& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  std::vector<Tensor> values;
  for (const auto& [name, tensor] : tensors) {
    DS_CHECK(!header.contains(name) && name != "__metadata__", ValueError,
             "save_safetensors: the name '", name, "' is taken; every tensor needs its own");
    const uint64_t end = offset + type_bytes(tensor.type());
    header[name] = {{"dtype", name_of_dtype(tensor.dtype())},
                    {"shape", tensor.shape().vec()},
                    {"data_offsets", {offset, end}}};
    offset = end;
    values.push_back(tensor);
  }
  evaluate(values);
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // elements start aligned
  AtomicFile file(path);
  const uint64_t size = text.size();
  file.write(&size, sizeof size);
  file.write(text);
  for (const Tensor& tensor : values) {
    const std::vector<char> bytes = bytes_of(tensor);
    file.write(bytes.data(), bytes.size());
  }
  file.commit();
}

}  // namespace ds::io
