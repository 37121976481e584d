// SPDX-License-Identifier: Apache-2.0
#include "ds/io/gzip.h"

#include <zlib.h>

#include <algorithm>

#include "ds/base/error.h"

namespace ds::io {

std::vector<unsigned char> read_maybe_gzip(const std::string& path, size_t most) {
  const MappedFile file(path);
  const Bytes bytes = file.bytes();
  if (bytes.size() < 2 || bytes[0] != 0x1f || bytes[1] != 0x8b) return {bytes.begin(), bytes.end()};
  z_stream stream{};
  constexpr int kGzip = 16;
  DS_CHECK(inflateInit2(&stream, MAX_WBITS + kGzip) == Z_OK, IOError, path, ": zlib did not start");
  std::vector<unsigned char> out;
  std::vector<unsigned char> block(1 << 16);
  stream.next_in = const_cast<unsigned char*>(bytes.data());
  size_t left = bytes.size();
  int state = Z_OK;
  while (state == Z_OK && out.size() <= most) {
    const auto in = static_cast<uInt>(std::min<size_t>(left, 1u << 30));
    stream.avail_in = in;
    stream.next_out = block.data();
    stream.avail_out = static_cast<uInt>(block.size());
    state = inflate(&stream, Z_NO_FLUSH);
    left -= in - stream.avail_in;
    const size_t made = block.size() - stream.avail_out;
    out.insert(out.end(), block.begin(), block.begin() + static_cast<long>(made));
    if (made == 0 && in == stream.avail_in) break;
  }
  inflateEnd(&stream);
  DS_CHECK(out.size() <= most, FileFormatError, path, ": decompresses to more than ", most,
           " bytes");
  DS_CHECK(state == Z_STREAM_END, FileFormatError, path, ": truncated or damaged gzip data");
  return out;
}

}  // namespace ds::io
