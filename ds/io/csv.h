// SPDX-License-Identifier: Apache-2.0
// Tables of numbers in text: CSV and TSV (RFC 4180, quotes allowed around fields).
#pragma once

#include <string>
#include <vector>

#include "ds/tensor/tensor.h"

namespace ds::io {

struct CsvTable {
  std::vector<std::string> columns;  // names; "0", "1", ... without a header
  Tensor values;                     // f32 [rows, columns]; NaN for an empty field
};

/// The delimiter 0 is found from the first line: tab, semicolon or comma. The first line is a
/// header when a field of it is no number. FileFormatError names the line of a bad field.
CsvTable load_csv(const std::string& path, char delimiter = 0);

}  // namespace ds::io
