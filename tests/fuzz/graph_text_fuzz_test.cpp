// SPDX-License-Identifier: Apache-2.0
// Graph text and type rules on hostile input: whatever it says, it is a sound graph or a typed
// error.
#include <doctest/doctest.h>

#include <random>

#include "../unit/ir/samples.h"
#include "ds/base/error.h"

namespace ds::test {
namespace {

constexpr const char* kNumbers[] = {"0",
                                    "1",
                                    "-1",
                                    "13",
                                    "2147483648",
                                    "4611686018427387904",
                                    "9223372036854775807",
                                    "-9223372036854775808",
                                    "1e999"};

/// One to three edits: a number replaced, a line dropped or doubled, a byte changed, an end cut.
std::string damaged(std::string text, std::mt19937& draw) {
  for (uint32_t edits = 1 + draw() % 3; edits > 0 && !text.empty(); --edits) {
    const size_t place = draw() % text.size();
    switch (draw() % 6) {
      case 0: text[place] = static_cast<char>(draw()); break;
      case 1: text.resize(place); break;
      case 2: {
        const size_t line = text.rfind('\n', place), end = text.find('\n', place);
        if (line != std::string::npos && end != std::string::npos)
          text.insert(end, text.substr(line, end - line));
        break;
      }
      default: {
        const size_t first = text.find_first_of("0123456789", place);
        if (first == std::string::npos) break;
        const size_t last = text.find_first_not_of("0123456789", first);
        text.replace(first, last == std::string::npos ? 1 : last - first,
                     kNumbers[draw() % std::size(kNumbers)]);
      }
    }
  }
  return text;
}

TEST_CASE("damaged graph text") {
  std::mt19937 draw(11);
  int accepted = 0, refused = 0;
  for (const Sample& sample : samples()) {
    const std::string sound = print_graph(sample_graph(sample));
    CAPTURE(sound);
    for (int round = 0; round < 200; ++round) {
      const std::string text = damaged(sound, draw);
      try {
        const Graph graph = parse_graph(text);
        ++accepted;
        verify_graph(graph);
        const std::string printed = print_graph(graph);
        if (print_graph(parse_graph(printed)) != printed) FAIL_CHECK("not stable: " << text);
      } catch (const FileFormatError&) {
        ++refused;
      }
    }
  }
  CHECK(accepted > 100);
  CHECK(refused > 1000);
}

TEST_CASE("type rules on inputs and attributes of other ops' samples") {
  std::mt19937 draw(12);
  const std::vector<Sample>& all = samples();
  int accepted = 0;
  const auto attr_like = [&](AttrKind kind) -> Attr {
    static constexpr int64_t kSizes[] = {-1, 0, 1, 2, 3, 8, INT64_MIN, INT64_MAX};
    const auto size = [&] { return kSizes[draw() % std::size(kSizes)]; };
    switch (kind) {
      case AttrKind::int_: return size();
      case AttrKind::float_: return static_cast<double>(size());
      case AttrKind::bool_: return draw() % 2 == 0;
      case AttrKind::dtype: return static_cast<DType>(draw() % kDTypeCount);
      case AttrKind::ints: {
        Shape sizes;
        for (uint32_t rank = draw() % 5; rank > 0; --rank) sizes.push_back(size());
        return sizes;
      }
      case AttrKind::str: break;
    }
    return std::string("add");
  };
  for (int round = 0; round < 20000; ++round) {
    const Sample& sample = all[draw() % all.size()];
    const OpInfo& info = op_info(sample.op);
    Values inputs;
    for (size_t i = 0; i < sample.inputs.size(); ++i) {
      const Sample& other = all[draw() % all.size()];
      const Type type = other.inputs.empty() || draw() % 2
                            ? sample.inputs[i]
                            : other.inputs[draw() % other.inputs.size()];
      inputs.push_back(make(Op::input_, {}, {static_cast<int64_t>(i), type.dtype, type.shape}));
    }
    Attrs attrs = sample.attrs;
    for (size_t i = 0; i < attrs.size(); ++i)
      if (draw() % 2) attrs[i] = attr_like(info.attrs[i].kind);
    CAPTURE(info.name);
    try {
      for (const Type& type : infer_types(sample.op, inputs, attrs)) {
        for (int64_t size : type.shape) CHECK(size >= 0);
        CHECK(type.shape.numel() <= kMaxElements);
      }
      ++accepted;
    } catch (const InternalError& error) {
      FAIL_CHECK(error.what());
    } catch (const Error&) {
    }
  }
  CHECK(accepted > 500);
}

}  // namespace
}  // namespace ds::test
