// SPDX-License-Identifier: Apache-2.0
#include "ds/io/csv.h"

#include <charconv>
#include <cmath>

#include "ds/base/error.h"
#include "ds/io/file.h"

namespace ds::io {
namespace {

/// Fields of one line, quotes removed.
std::vector<std::string> fields_of(std::string_view line, char delimiter) {
  std::vector<std::string> fields{""};
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"') {
      if (quoted && i + 1 < line.size() && line[i + 1] == '"')
        fields.back() += line[i++];
      else
        quoted = !quoted;
    } else if (c == delimiter && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

bool parse_number(std::string_view text, float& value) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  if (text.empty()) {
    value = std::nanf("");
    return true;
  }
  if (text.front() == '+') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

char guess_delimiter(std::string_view line) {
  for (const char c : {'\t', ';', ','})
    if (line.find(c) != std::string_view::npos) return c;
  return ',';
}

}  // namespace

CsvTable load_csv(const std::string& path, char delimiter) {
  const std::string text = read_text(path);
  CsvTable table;
  std::vector<float> values;
  int64_t rows = 0;
  size_t number = 0;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    std::string_view line(text.data() + at, end - at);
    at = end + 1;
    ++number;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) continue;
    if (!delimiter) delimiter = guess_delimiter(line);
    const std::vector<std::string> fields = fields_of(line, delimiter);
    if (table.columns.empty()) {
      float ignored;
      bool header = false;
      for (const std::string& f : fields) header = header || !parse_number(f, ignored);
      for (size_t i = 0; i < fields.size(); ++i)
        table.columns.push_back(header ? fields[i] : std::to_string(i));
      if (header) continue;
    }
    DS_CHECK(fields.size() == table.columns.size(), FileFormatError, path, ":", number, ": ",
             fields.size(), " fields, the first line has ", table.columns.size());
    for (size_t i = 0; i < fields.size(); ++i) {
      values.push_back(0);
      DS_CHECK(parse_number(fields[i], values.back()), FileFormatError, path, ":", number,
               ": column '", table.columns[i], "' holds '", fields[i].substr(0, 40),
               "', which is no number");
    }
    ++rows;
  }
  table.values = Tensor::from_host(
      values.data(), {DType::f32, {rows, static_cast<int64_t>(table.columns.size())}});
  return table;
}

}  // namespace ds::io
