// SPDX-License-Identifier: Apache-2.0
#include "ds/data/digits.h"

#include <zlib.h>

#include <cstring>
#include <string_view>
#include <vector>

#include "ds/base/error.h"

namespace ds::data {
namespace {

constexpr size_t kImages = 1797, kPixels = 64;

int base64_value(char c) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return static_cast<int>(kAlphabet.find(c));
}

std::vector<unsigned char> decode_base64(std::string_view text) {
  std::vector<unsigned char> bytes;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<uint32_t>(base64_value(c));
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<unsigned char>(bits >> count));
  }
  return bytes;
}

}  // namespace

std::pair<HostArray, HostArray> load_digits() {
  const std::vector<unsigned char> packed = decode_base64(kDigitsData);
  std::vector<unsigned char> raw(kImages * (kPixels + 1));
  auto size = static_cast<uLongf>(raw.size());
  const int state = uncompress(raw.data(), &size, packed.data(), static_cast<uLong>(packed.size()));
  DS_ASSERT(state == Z_OK && size == raw.size());
  const auto n = static_cast<int64_t>(kImages);
  HostArray images({DType::u8, {n, 1, 8, 8}}), labels({DType::i64, {n}});
  std::memcpy(images.data(), raw.data(), kImages * kPixels);
  for (size_t i = 0; i < kImages; ++i) labels.as<int64_t>()[i] = raw[kImages * kPixels + i];
  return {images, labels};
}

}  // namespace ds::data
