// SPDX-License-Identifier: Apache-2.0
#include "ds/io/zip.h"

#include <zlib.h>

#include <algorithm>

#include "ds/base/error.h"

namespace ds::io {
namespace {

constexpr uint32_t kEndSignature = 0x06054b50, kEnd64Signature = 0x06064b50,
                   kLocator64Signature = 0x07064b50, kCentralSignature = 0x02014b50,
                   kLocalSignature = 0x04034b50;
constexpr size_t kEndSize = 22, kLocator64Size = 20;
// Deflate cannot shrink more than this; a larger claim is hostile.
constexpr uint64_t kMaxRatio = 1032;

struct Directory {
  uint64_t count, offset;
};

Directory find_directory(const MappedFile& file) {
  const Bytes bytes = file.bytes();
  DS_CHECK(bytes.size() >= kEndSize, FileFormatError, file.path(), ": not a ZIP archive");
  const size_t lowest = bytes.size() - std::min(bytes.size(), kEndSize + 0xffff);
  for (size_t at = bytes.size() - kEndSize + 1; at-- > lowest;) {
    ByteReader reader(bytes, file.path());
    reader.seek(at);
    if (reader.little<uint32_t>() != kEndSignature) continue;
    reader.take(6);
    Directory d{reader.little<uint16_t>(), 0};
    reader.take(4);
    d.offset = reader.little<uint32_t>();
    if (d.count != 0xffff && d.offset != 0xffffffff) return d;
    if (at < kLocator64Size) break;
    reader.seek(at - kLocator64Size);
    if (reader.little<uint32_t>() != kLocator64Signature) return d;
    reader.take(4);
    reader.seek(reader.little<uint64_t>());
    DS_CHECK(reader.little<uint32_t>() == kEnd64Signature, FileFormatError, file.path(),
             ": the ZIP64 directory is damaged");
    reader.take(20);
    reader.take(8);
    d.count = reader.little<uint64_t>();
    reader.take(8);
    d.offset = reader.little<uint64_t>();
    return d;
  }
  throw FileFormatError(file.path() + ": not a ZIP archive, or truncated");
}

/// Replaces 32-bit fields that are full by their 64-bit values from the extra field.
void apply_zip64(ByteReader extra, ZipReader::Entry& entry) {
  while (extra.left() >= 4) {
    const auto id = extra.little<uint16_t>();
    const auto size = extra.little<uint16_t>();
    ByteReader field(extra.take(size), extra.name());
    if (id != 1) continue;
    for (uint64_t* value : {&entry.size, &entry.compressed, &entry.offset})
      if (*value == 0xffffffff) *value = field.little<uint64_t>();
    return;
  }
}

ZipReader::Entry read_entry(ByteReader& reader) {
  DS_CHECK(reader.little<uint32_t>() == kCentralSignature, FileFormatError, reader.name(),
           ": the ZIP directory is damaged");
  reader.take(4);
  const auto flags = reader.little<uint16_t>();
  DS_CHECK((flags & 1) == 0, FileFormatError, reader.name(), ": the archive is encrypted");
  ZipReader::Entry entry{};
  entry.method = reader.little<uint16_t>();
  reader.take(4);
  entry.crc = reader.little<uint32_t>();
  entry.compressed = reader.little<uint32_t>();
  entry.size = reader.little<uint32_t>();
  const auto name = reader.little<uint16_t>();
  const auto extra = reader.little<uint16_t>();
  const auto comment = reader.little<uint16_t>();
  reader.take(8);
  entry.offset = reader.little<uint32_t>();
  entry.name = std::string(reader.text(name));
  apply_zip64(ByteReader(reader.take(extra), reader.name()), entry);
  reader.take(comment);
  return entry;
}

std::shared_ptr<std::vector<unsigned char>> inflate_all(Bytes bytes, const ZipReader::Entry& entry,
                                                        const std::string& path) {
  DS_CHECK(entry.size / kMaxRatio <= bytes.size() + 1, FileFormatError, path, ": entry '",
           entry.name, "' claims to be larger than it can be");
  auto out = std::make_shared<std::vector<unsigned char>>(entry.size);
  z_stream stream{};
  DS_CHECK(inflateInit2(&stream, -MAX_WBITS) == Z_OK, IOError, path, ": zlib did not start");
  stream.next_in = const_cast<unsigned char*>(bytes.data());
  stream.next_out = out->data();
  size_t in_left = bytes.size(), out_left = out->size();
  int state = Z_OK;
  while (state == Z_OK) {
    const auto in = static_cast<uInt>(std::min<size_t>(in_left, 1u << 30));
    const auto room = static_cast<uInt>(std::min<size_t>(out_left, 1u << 30));
    stream.avail_in = in;
    stream.avail_out = room;
    state = inflate(&stream, Z_NO_FLUSH);
    in_left -= in - stream.avail_in;
    out_left -= room - stream.avail_out;
    if (in == stream.avail_in && room == stream.avail_out && state == Z_OK) break;  // stuck
  }
  inflateEnd(&stream);
  DS_CHECK(state == Z_STREAM_END && out_left == 0, FileFormatError, path, ": entry '", entry.name,
           "' is damaged");
  return out;
}

}  // namespace

ZipReader::ZipReader(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {
  const Directory directory = find_directory(*file_);
  ByteReader reader(file_->bytes(), file_->path());
  reader.seek(directory.offset);
  for (uint64_t i = 0; i < directory.count; ++i) entries_.push_back(read_entry(reader));
}

const ZipReader::Entry* ZipReader::find(const std::string& name) const {
  for (const Entry& entry : entries_)
    if (entry.name == name) return &entry;
  return nullptr;
}

ZipReader::Contents ZipReader::read(const Entry& entry) const {
  const std::string& path = file_->path();
  ByteReader reader(file_->bytes(), path);
  reader.seek(entry.offset);
  DS_CHECK(reader.little<uint32_t>() == kLocalSignature, FileFormatError, path, ": entry '",
           entry.name, "' is damaged");
  reader.take(22);
  const auto name = reader.little<uint16_t>();
  const auto extra = reader.little<uint16_t>();
  reader.take(name);
  reader.take(extra);
  const Bytes stored = reader.take(entry.compressed);
  Contents contents{stored, file_};
  if (entry.method == Z_DEFLATED) {
    const auto out = inflate_all(stored, entry, path);
    contents = {{out->data(), out->size()}, out};
  } else {
    DS_CHECK(entry.method == 0 && entry.compressed == entry.size, FileFormatError, path,
             ": entry '", entry.name, "' uses compression method ", entry.method,
             "; only stored and deflate are available");
  }
  return contents;
}

}  // namespace ds::io
