// SPDX-License-Identifier: Apache-2.0
// Fields of a tokenizer's JSON, each checked for its type.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

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

/// The parts of a Sequence, each read by read(json, depth) and left out when that is nullptr.
template <class Read>
auto read_steps(const Json& sequence, const char* name, int depth, const Read& read) {
  std::vector<decltype(read(sequence, depth))> steps;
  for (const Json& step : list_field(sequence, name))
    if (auto made = read(step, depth + 1)) steps.push_back(std::move(made));
  return steps;
}

/// Parts that run one after the other: of Normalizer, PreTokenizer or Decoder.
template <class Part, class Value>
class StepSequence : public Part {
 public:
  using Steps = std::vector<std::shared_ptr<const Part>>;
  explicit StepSequence(Steps steps) : steps_(std::move(steps)) {}
  void run(Value& value) const override {
    for (const auto& step : steps_) step->run(value);
  }

 protected:
  const Steps& steps() const { return steps_; }

 private:
  Steps steps_;
};

}  // namespace ds::text
