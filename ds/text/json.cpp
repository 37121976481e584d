// SPDX-License-Identifier: Apache-2.0
#include "ds/text/json.h"

namespace ds::text {

Json parse_json(std::string_view text, const std::string& path) {
  try {
    return Json::parse(text);
  } catch (const nlohmann::json::exception& e) {
    throw FileFormatError(str(path, ": not JSON: ", e.what()));
  }
}

const Json& field(const Json& object, const char* name) {
  static const Json kAbsent;
  DS_CHECK(object.is_object(), FileFormatError, "tokenizer: an object with '", name,
           "' is expected, not ", object.type_name());
  const auto found = object.find(name);
  return found == object.end() ? kAbsent : *found;
}

const Json& list_field(const Json& object, const char* name) {
  const Json& value = field(object, name);
  DS_CHECK(value.is_array(), FileFormatError, "tokenizer: '", name, "' is ", value.type_name(),
           ", a list is expected");
  return value;
}

std::string text_field(const Json& object, const char* name) {
  const Json& value = field(object, name);
  DS_CHECK(value.is_string(), FileFormatError, "tokenizer: '", name, "' is ", value.type_name(),
           ", text is expected");
  return value.get<std::string>();
}

std::string text_field(const Json& object, const char* name, const std::string& absent) {
  return field(object, name).is_null() ? absent : text_field(object, name);
}

bool bool_field(const Json& object, const char* name, bool absent) {
  const Json& value = field(object, name);
  if (value.is_null()) return absent;
  DS_CHECK(value.is_boolean(), FileFormatError, "tokenizer: '", name, "' is ", value.type_name(),
           ", true or false is expected");
  return value.get<bool>();
}

int64_t int_field(const Json& object, const char* name, int64_t absent) {
  const Json& value = field(object, name);
  if (value.is_null()) return absent;
  DS_CHECK(value.is_number_integer(), FileFormatError, "tokenizer: '", name, "' is ",
           value.type_name(), ", an integer is expected");
  return value.get<int64_t>();
}

int32_t id_of(const Json& value, const char* what) {
  DS_CHECK(value.is_number_unsigned() && value.get<uint64_t>() < 0x7fffffffu, FileFormatError,
           "tokenizer: the id of ", what, " is no number of a token");
  return static_cast<int32_t>(value.get<uint64_t>());
}

void check_depth(int depth) {
  DS_CHECK(depth < kMaxDepth, FileFormatError, "tokenizer: nested more than ", kMaxDepth, " deep");
}

}  // namespace ds::text
