// SPDX-License-Identifier: Apache-2.0
// Fields of a tokenizer's JSON, each checked for its type.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "ds/base/error.h"

namespace ds::text {

using Json = nlohmann::ordered_json;

/// The parsed text. FileFormatError naming the file when it is not JSON.
Json parse_json(std::string_view text, const std::string& path);

/// A field, or null when it is absent. FileFormatError when `object` is no object.
const Json& field(const Json& object, const char* name);
/// FileFormatError unless the field is a list.
const Json& list_field(const Json& object, const char* name);
/// FileFormatError when the field is not text.
std::string text_field(const Json& object, const char* name);
std::string text_field(const Json& object, const char* name, const std::string& absent);
bool bool_field(const Json& object, const char* name, bool absent);
int64_t int_field(const Json& object, const char* name, int64_t absent);
/// The id of a token: from 0 to 2^31 - 1.
int32_t id_of(const Json& value, const char* what);

/// Elements of Sequences within Sequences; a deeper file is hostile.
constexpr int kMaxDepth = 16;
void check_depth(int depth);

}  // namespace ds::text
