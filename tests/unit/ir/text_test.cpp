// SPDX-License-Identifier: Apache-2.0
// The table of ops, its type rules, and the text form: printing and parsing are inverse.
#include <doctest/doctest.h>

#include <bit>
#include <limits>
#include <set>
#include <sstream>

#include "ds/base/error.h"
#include "samples.h"

namespace ds::test {
namespace {

/// What parsing `text` raises, "" when nothing.
std::string refusal(const std::string& text) {
  try {
    parse_graph(text);
  } catch (const FileFormatError& error) {
    return error.what();
  }
  return "";
}

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("every op has a row that can be read and a sample") {
  std::set<Op> sampled{Op::fused_};
  for (const Sample& sample : samples()) sampled.insert(sample.op);
  std::set<std::string_view> names;
  for (int k = 0; k < kOpCount; ++k) {
    const OpInfo& info = op_info(static_cast<Op>(k));
    CAPTURE(info.name);
    CHECK(sampled.count(static_cast<Op>(k)) == 1);
    CHECK(names.insert(info.name).second);
    CHECK(parse_op(info.name) == static_cast<Op>(k));
    CHECK(info.doc.size() > 3);
    CHECK(info.doc.back() == '.');
    CHECK(info.min_inputs <= info.max_inputs);
    if (info.has(kCommutative)) CHECK(info.min_inputs == 2);
  }
  CHECK_THROWS_AS(parse_op("no_such_op"), ValueError);
}

TEST_CASE("type rules") {
  for (const Sample& sample : samples()) {
    CAPTURE(op_name(sample.op));
    const Graph graph = sample_graph(sample);
    std::ostringstream types;
    for (size_t i = 0; i < graph.outputs.size(); ++i)
      types << (i ? " " : "") << graph.outputs[i].type();
    CHECK(types.str() == sample.outputs);
  }
}

TEST_CASE("print, parse, print") {
  for (const Sample& sample : samples()) {
    CAPTURE(op_name(sample.op));
    const Graph graph = sample_graph(sample);
    verify_graph(graph);
    const std::string text = print_graph(graph);
    const Graph parsed = parse_graph(text);
    verify_graph(parsed);
    CHECK(print_graph(parsed) == text);
    CHECK(parsed.outputs.size() == graph.outputs.size());
  }
}

TEST_CASE("the text form is what the header says") {
  const std::string text =
      "%0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n"
      "%1 = relu(%0) : f32[2,3]\n"
      "%2 = sort(%1) {dim=1, descending=true} : f32[2,3], i64[2,3]\n"
      "return %1, %2.1\n";
  const Graph graph = parse_graph(text);
  CHECK(graph.inputs.size() == 1);
  CHECK(graph.outputs[0].node->op() == Op::relu_);
  CHECK(graph.outputs[1].index == 1);
  CHECK(graph.outputs[1].node->attr_bool("descending"));
  CHECK(print_graph(graph) == text);
}

TEST_CASE("a fused body is printed inside its node") {
  const std::string text =
      "%0 = input {index=0, dtype=f32, shape=[4]} : f32[4]\n"
      "%1 = fused(%0) : f32[4], bool[4] {\n"
      "  %0 = input {index=0, dtype=f32, shape=[4]} : f32[4]\n"
      "  %1 = exp(%0) : f32[4]\n"
      "  %2 = isnan(%1) : bool[4]\n"
      "  return %1, %2\n"
      "}\n"
      "return %1, %1.1\n";
  CHECK(print_graph(parse_graph(text)) == text);
}

TEST_CASE("constants survive to the bit") {
  const double tiny = std::numeric_limits<double>::denorm_min();
  const double inf = std::numeric_limits<double>::infinity();
  for (double value :
       {0.0, -0.0, 0.1, 1e300, tiny, inf, -inf, std::numeric_limits<double>::quiet_NaN(),
        std::bit_cast<double>(0xfff8000000000123u)}) {
    Graph graph;
    Interner interner;
    graph.outputs = {interner.make(Op::constant_, {}, {value, DType::f64})};
    const Graph parsed = parse_graph(print_graph(graph));
    CHECK(std::bit_cast<uint64_t>(parsed.outputs[0].node->attr_float("value")) ==
          std::bit_cast<uint64_t>(value));
  }
}

TEST_CASE("malformed text is refused with its line") {
  const std::string in = "%0 = input {index=0, dtype=f32, shape=[2,3]} : f32[2,3]\n";
  CHECK(mentions(refusal(""), "line 1"));
  CHECK(mentions(refusal(in), "line 2"));
  CHECK(mentions(refusal(in + "%1 = relu(%7) : f32[2,3]\nreturn %1\n"), "%7 is not defined"));
  CHECK(mentions(refusal(in + "%1 = relu(%0.1) : f32[2,3]\nreturn %1\n"), "no output 1"));
  CHECK(mentions(refusal(in + "%1 = rellu(%0) : f32[2,3]\nreturn %1\n"), "rellu"));
  CHECK(mentions(refusal(in + "%1 = relu(%0) : f32[3,2]\nreturn %1\n"), "the text says"));
  CHECK(mentions(refusal(in + "%1 = relu(%0, %0) : f32[2,3]\nreturn %1\n"), "2 inputs"));
  CHECK(mentions(refusal(in + "%0 = relu(%0) : f32[2,3]\nreturn %0\n"), "defined twice"));
  CHECK(mentions(refusal(in + "%1 = sum(%0) {dims=[0], x=true} : f32[3]\nreturn %1\n"), "keepdim"));
  CHECK(mentions(refusal(in + "%1 = sum(%0) {dims=[5], keepdim=true} : f32[3]\nreturn %1\n"),
                 "dims"));
  CHECK(mentions(refusal(in + "return %0\nreturn %0\n"), "after the return"));
  CHECK(mentions(refusal("%0 = input {index=3, dtype=f32, shape=[]} : f32[]\nreturn %0\n"),
                 "index 3"));
}

TEST_CASE("sizes beyond memory are refused, not wrapped") {
  const std::string big = "4611686018427387904";  // 2^62
  CHECK(refusal("%0 = input {index=0, dtype=f32, shape=[" + big + "," + big + "]} : f32[" + big +
                "," + big + "]\nreturn %0\n") != "");
  CHECK(refusal("%0 = input {index=0, dtype=f32, shape=[-1]} : f32[-1]\nreturn %0\n") != "");
  const std::string in = "%0 = input {index=0, dtype=f32, shape=[1]} : f32[1]\n";
  CHECK(refusal(in + "%1 = expand(%0) {shape=[-4]} : f32[-4]\nreturn %1\n") != "");
  // 4 * 2^62 wraps to 0.
  CHECK(refusal(in + "%1 = slice(%0) {starts=[0], sizes=[5], steps=[" + big +
                "]} : f32[5]\nreturn %1\n") != "");
  CHECK(refusal(in + "%1 = as_strided(%0) {shape=[5], strides=[" + big +
                "], offset=0} : f32[5]\nreturn %1\n") != "");
  CHECK(refusal(in + "%1 = softmax(%0) {dim=9} : f32[1]\nreturn %1\n") != "");
  CHECK(refusal(in + "%1 = cumsum(%0) {dim=-1} : f32[1]\nreturn %1\n") != "");
  CHECK(refusal(in + "%1 = flip(%0) {dims=[3]} : f32[1]\nreturn %1\n") != "");
}

TEST_CASE("bodies nested too deeply are refused") {
  std::string text;
  for (int depth = 0; depth < 5000; ++depth)
    text += "%0 = input {index=0, dtype=f32, shape=[]} : f32[]\n%1 = fused(%0) : f32[] {\n";
  CHECK(mentions(refusal(text), "nested too deeply"));
}

TEST_CASE("the verifier names what is wrong") {
  Interner interner;
  const NodePtr in = interner.node(Op::input_, {}, {int64_t{0}, DType::f32, Shape{2}});
  const auto complaint = [](const Graph& graph) -> std::string {
    try {
      verify_graph(graph);
    } catch (const InternalError& error) {
      return error.what();
    }
    return "";
  };
  const Value relu = interner.make(Op::relu_, {{in, 0}});
  CHECK(complaint({{in}, {relu}}) == "");
  CHECK(mentions(complaint({{}, {relu}}), "not declared"));
  CHECK(mentions(complaint({{in}, {{in, 1}}}), "output"));
  const Value twin = make(Op::relu_, {{in, 0}});
  CHECK(mentions(complaint({{in}, {relu, twin}}), "not interned"));
  const auto wrong = std::make_shared<const Node>(Op::relu_, Values{{in, 0}}, Attrs{},
                                                  std::vector<Type>{{DType::f64, {2}}});
  CHECK(mentions(complaint({{in}, {{wrong, 0}}}), "its rule gives"));
  const NodePtr second = interner.node(Op::input_, {}, {int64_t{5}, DType::f32, Shape{2}});
  CHECK(mentions(complaint({{in, second}, {relu}}), "graph input 1"));
}

TEST_CASE("equal nodes are one object") {
  Interner interner;
  const Value x = interner.make(Op::input_, {}, {int64_t{0}, DType::f32, Shape{2}});
  const Value y = interner.make(Op::input_, {}, {int64_t{1}, DType::f32, Shape{2}});
  CHECK(interner.make(Op::sub_, {x, y}) == interner.make(Op::sub_, {x, y}));
  CHECK_FALSE(interner.make(Op::sub_, {x, y}) == interner.make(Op::sub_, {y, x}));
  const auto constant = [&](double v) { return interner.make(Op::constant_, {}, {v, DType::f64}); };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(constant(nan) == constant(nan));
  CHECK_FALSE(constant(0.0) == constant(-0.0));
  const Value sorted = interner.make(Op::sort_, {x}, {int64_t{0}, false});
  CHECK_FALSE(interner.make(Op::sort_, {x}, {int64_t{0}, true}) == sorted);
}

}  // namespace
}  // namespace ds::test
