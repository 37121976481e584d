// SPDX-License-Identifier: Apache-2.0
#include "ds/io/tensorboard.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "ds/base/error.h"

namespace ds::io {
namespace {

// --- protocol buffers ---

enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void put_key(std::string& out, int field, WireType type) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | type);
}

template <class T>
void put_plain(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

void put_double(std::string& out, int field, double value) {
  put_key(out, field, kFixed64);
  put_plain(out, value);
}

void put_int(std::string& out, int field, int64_t value) {
  put_key(out, field, kVarint);
  put_varint(out, static_cast<uint64_t>(value));
}

void put_bytes(std::string& out, int field, const std::string& bytes) {
  put_key(out, field, kBytes);
  put_varint(out, bytes.size());
  out += bytes;
}

/// A Summary.Value with its tag; the rest is added by the caller.
std::string tagged(const std::string& tag) {
  std::string value;
  put_bytes(value, 1, tag);
  return value;
}

/// A Summary of one Value.
std::string summary_of(const std::string& value) {
  std::string summary;
  put_bytes(summary, 1, value);
  return summary;
}

// --- records ---

/// The checksum is rotated and shifted so that data that holds checksums keeps them useful.
uint32_t masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8U; }

std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = c & 1 ? c >> 1 ^ 0x82f63b78U : c >> 1;
    table[i] = c;
  }
  return table;
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string file_name(const std::string& suffix) {
  static std::atomic<int> count{0};
  char host[256] = "localhost";
  gethostname(host, sizeof host - 1);
  char seconds[32];
  std::snprintf(seconds, sizeof seconds, "%010lld", static_cast<long long>(now()));
  return str("events.out.tfevents.", seconds, ".", host, ".", getpid(), ".", count++, suffix);
}

}  // namespace

uint32_t crc32c(const void* data, size_t size) {
  static const std::array<uint32_t, 256> table = make_table();
  const auto* bytes = static_cast<const unsigned char*>(data);
  uint32_t crc = ~0U;
  for (size_t i = 0; i < size; ++i) crc = table[(crc ^ bytes[i]) & 0xff] ^ crc >> 8;
  return ~crc;
}

EventWriter::EventWriter(const std::string& folder, const std::string& suffix) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  DS_CHECK(!error, IOError, "tensorboard: can not make the folder ", folder, ": ", error.message());
  path_ = (std::filesystem::path(folder) / file_name(suffix)).string();
  file_ = std::fopen(path_.c_str(), "wbx");
  DS_CHECK(file_, IOError, "tensorboard: can not write ", path_, ": ", std::strerror(errno));
  std::string event;
  put_double(event, 1, now());
  put_bytes(event, 3, "brain.Event:2");
  write_record(event);
  flush();
}

EventWriter::~EventWriter() {
  if (file_) std::fclose(file_);
}

void EventWriter::write_record(const std::string& event) {
  std::string record;
  put_plain(record, static_cast<uint64_t>(event.size()));
  put_plain(record, masked(crc32c(record.data(), record.size())));
  record += event;
  put_plain(record, masked(crc32c(event.data(), event.size())));
  DS_CHECK(std::fwrite(record.data(), 1, record.size(), file_) == record.size(), IOError,
           "tensorboard: can not write ", path_, ": ", std::strerror(errno));
}

void EventWriter::flush() {
  DS_CHECK(std::fflush(file_) == 0, IOError, "tensorboard: can not write ", path_, ": ",
           std::strerror(errno));
}

void EventWriter::add_event(const std::string& summary, int64_t step, double wall_time) {
  std::string event;
  put_double(event, 1, wall_time < 0 ? now() : wall_time);
  put_int(event, 2, step);
  put_bytes(event, 5, summary);
  write_record(event);
}

void EventWriter::add_scalar(const std::string& tag, double value, int64_t step, double wall_time) {
  add_scalars({{tag, value}}, step, wall_time);
}

void EventWriter::add_scalars(const std::vector<std::pair<std::string, double>>& values,
                              int64_t step, double wall_time) {
  std::string summary;
  for (const auto& [tag, number] : values) {
    std::string value = tagged(tag);
    put_key(value, 2, kFixed32);
    put_plain(value, static_cast<float>(number));
    summary += summary_of(value);
  }
  add_event(summary, step, wall_time);
}

void EventWriter::add_text(const std::string& tag, const std::string& text, int64_t step,
                           double wall_time) {
  // A string tensor of one element that the text plugin shows.
  constexpr int kStringType = 7;
  std::string tensor, shape, dim, plugin, metadata, value = tagged(tag + "/text_summary");
  put_int(dim, 1, 1);
  put_bytes(shape, 2, dim);
  put_int(tensor, 1, kStringType);
  put_bytes(tensor, 2, shape);
  put_bytes(tensor, 8, text);
  put_bytes(plugin, 1, "text");
  put_bytes(metadata, 1, plugin);
  put_bytes(value, 8, tensor);
  put_bytes(value, 9, metadata);
  add_event(summary_of(value), step, wall_time);
}

void EventWriter::add_histogram(const std::string& tag, const std::vector<double>& values,
                                int64_t step, double wall_time) {
  std::vector<double> finite;
  for (const double v : values)
    if (std::isfinite(v)) finite.push_back(v);
  DS_CHECK(!finite.empty(), ValueError, "tensorboard: the histogram '", tag,
           "' has no finite value");
  constexpr size_t kBins = 64;
  const auto [low, high] = std::minmax_element(finite.begin(), finite.end());
  const double min = *low, max = *high, width = (max - min) / kBins;
  std::array<double, kBins> counts{};
  double sum = 0, squares = 0;
  for (const double v : finite) {
    const size_t bin = width > 0 ? static_cast<size_t>((v - min) / width) : kBins - 1;
    counts[std::min(bin, kBins - 1)] += 1;
    sum += v;
    squares += v * v;
  }
  std::string histogram, limits, buckets, value = tagged(tag);
  const double numbers[] = {min, max, static_cast<double>(finite.size()), sum, squares};
  for (int i = 0; i < 5; ++i) put_double(histogram, i + 1, numbers[i]);
  for (size_t i = 0; i < kBins; ++i) {
    put_plain(limits, i + 1 == kBins ? max : min + width * static_cast<double>(i + 1));
    put_plain(buckets, counts[i]);
  }
  put_bytes(histogram, 6, limits);
  put_bytes(histogram, 7, buckets);
  put_bytes(value, 5, histogram);
  add_event(summary_of(value), step, wall_time);
}

}  // namespace ds::io
