// SPDX-License-Identifier: Apache-2.0
// Reads what printer.cpp writes.
#include <bit>
#include <cctype>
#include <charconv>
#include <limits>
#include <unordered_map>

#include "ds/base/error.h"
#include "ds/ir/build.h"
#include "ds/ir/graph.h"

namespace ds {
namespace {

// A body inside a body inside ...: deeper text is hostile, and reading it recurses.
constexpr int kMaxDepth = 16;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Graph whole() {
    Graph parsed = graph(0);
    skip_lines();
    if (at_ != text_.size()) fail("text after the return line");
    return parsed;
  }

 private:
  using Names = std::unordered_map<int64_t, NodePtr>;

  [[noreturn]] void fail(const std::string& what) const {
    throw FileFormatError(str("graph text, line ", line_, ": ", what));
  }

  // --- characters ---

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_spaces() {
    while (peek() == ' ') ++at_;
  }
  void skip_lines() {
    for (; peek() == ' ' || peek() == '\n'; ++at_)
      if (peek() == '\n') ++line_;
  }
  bool accept(char c) {
    skip_spaces();
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(str("expected '", c, "'"));
  }
  void end_of_line() {
    skip_spaces();
    if (at_ < text_.size() && peek() != '\n') fail("unexpected text at the end of the line");
  }
  std::string_view word() {
    skip_spaces();
    const size_t start = at_;
    while (std::isalnum(static_cast<unsigned char>(peek())) || peek() == '_') ++at_;
    if (start == at_) fail("expected a name");
    return text_.substr(start, at_ - start);
  }

  // --- values of attributes ---

  template <class Number>
  Number number() {
    skip_spaces();
    Number value{};
    const char* first = text_.data() + at_;
    const auto result = std::from_chars(first, text_.data() + text_.size(), value);
    if (result.ec != std::errc()) fail("expected a number");
    at_ += static_cast<size_t>(result.ptr - first);
    return value;
  }

  double real() {
    skip_spaces();
    if (text_.substr(at_, 4) == "nan:") {  // a NaN with other bits than the usual one
      at_ += 4;
      uint64_t bits = 0;
      const char* first = text_.data() + at_;
      const auto result = std::from_chars(first, text_.data() + text_.size(), bits, 16);
      if (result.ec != std::errc()) fail("expected the bits of a NaN");
      at_ += static_cast<size_t>(result.ptr - first);
      return std::bit_cast<double>(bits);
    }
    if (text_.substr(at_, 3) == "nan") {
      at_ += 3;
      return std::numeric_limits<double>::quiet_NaN();
    }
    return number<double>();
  }

  bool boolean() {
    const std::string_view name = word();
    if (name != "true" && name != "false") fail(str("expected true or false, got ", name));
    return name == "true";
  }

  Shape shape() {
    Shape sizes;
    expect('[');
    while (!accept(']')) {
      if (!sizes.empty()) expect(',');
      sizes.push_back(number<int64_t>());
    }
    return sizes;
  }

  std::string quoted() {
    expect('"');
    const size_t end = text_.substr(0, text_.find('\n', at_)).find('"', at_);
    if (end == std::string_view::npos) fail("a string without an end");
    std::string value(text_.substr(at_, end - at_));
    at_ = end + 1;
    return value;
  }

  Attr attr(AttrKind kind) {
    switch (kind) {
      case AttrKind::int_: return number<int64_t>();
      case AttrKind::float_: return real();
      case AttrKind::bool_: return boolean();
      case AttrKind::dtype: return parse_dtype(word());
      case AttrKind::ints: return shape();
      case AttrKind::str: break;
    }
    return quoted();
  }

  Attrs attrs(const OpInfo& info) {
    Attrs values;
    for (const AttrSpec& spec : info.attrs) {
      expect(values.empty() ? '{' : ',');
      if (const std::string_view name = word(); name != spec.name)
        fail(str(info.name, ": expected attribute ", spec.name, ", got ", name));
      expect('=');
      values.push_back(attr(spec.kind));
    }
    if (!values.empty()) expect('}');
    return values;
  }

  // --- nodes ---

  Value reference(const Names& names) {
    expect('%');
    const auto key = number<int64_t>();
    const auto found = names.find(key);
    if (found == names.end()) fail(str("%", key, " is not defined above"));
    Value value{found->second, 0};
    if (accept('.')) value.index = number<int>();
    if (value.index < 0 || value.index >= value.node->outputs())
      fail(str("%", key, " has no output ", value.index));
    return value;
  }

  std::vector<Type> types() {
    std::vector<Type> list;
    do {
      Type type;
      // The dtype ends where the shape begins.
      type.dtype = parse_dtype(word());
      type.shape = shape();
      list.push_back(type);
    } while (accept(','));
    return list;
  }

  NodePtr fused(Interner& interner, Values inputs, const std::vector<Type>& stated, int depth) {
    expect('{');
    auto body = std::make_shared<Graph>(graph(depth + 1));
    skip_lines();
    expect('}');
    if (body->inputs.size() != inputs.size())
      fail(str("the body of fused has ", body->inputs.size(), " inputs for ", inputs.size()));
    for (size_t i = 0; i < inputs.size(); ++i)
      if (!(body->inputs[i]->type() == inputs[i].type()))
        fail(str("input ", i, " of fused is ", inputs[i].type(), ", its body takes ",
                 body->inputs[i]->type()));
    if (body->outputs.size() != stated.size()) fail("fused and its body differ in outputs");
    return interner.fused(std::move(inputs), std::move(body));
  }

  NodePtr node(Interner& interner, const Names& names, int depth) {
    const OpInfo& info = op_info(parse_op(word()));
    const Op op = parse_op(info.name);
    Values inputs;
    if (accept('(')) {
      do inputs.push_back(reference(names));
      while (accept(','));
      expect(')');
    }
    if (static_cast<int>(inputs.size()) < info.min_inputs ||
        static_cast<int>(inputs.size()) > info.max_inputs)
      fail(str(info.name, " does not take ", inputs.size(), " inputs"));
    Attrs values = attrs(info);
    expect(':');
    const std::vector<Type> stated = types();
    NodePtr made = op == Op::fused_ ? fused(interner, std::move(inputs), stated, depth)
                                    : interner.node(op, std::move(inputs), std::move(values));
    if (made->outputs() != static_cast<int>(stated.size()))
      fail(str(info.name, " has ", made->outputs(), " outputs"));
    for (int i = 0; i < made->outputs(); ++i)
      if (!(made->type(i) == stated[static_cast<size_t>(i)]))
        fail(str(info.name, " gives ", made->type(i), ", the text says ",
                 stated[static_cast<size_t>(i)]));
    return made;
  }

  void define(Graph& result, Names& names, Interner& interner, int depth) {
    expect('%');
    const auto key = number<int64_t>();
    expect('=');
    NodePtr made = node(interner, names, depth);
    if (made->op() == Op::input_) {
      if (made->attr_int("index") != static_cast<int64_t>(result.inputs.size()))
        fail(str("input has index ", made->attr_int("index"), " at position ",
                 result.inputs.size()));
      result.inputs.push_back(made);
    }
    if (!names.emplace(key, std::move(made)).second) fail(str("%", key, " is defined twice"));
    end_of_line();
  }

  Graph graph(int depth) {
    if (depth > kMaxDepth) fail("bodies are nested too deeply");
    Graph result;
    Names names;
    Interner interner;
    for (skip_lines(); peek() == '%'; skip_lines()) {
      try {
        define(result, names, interner, depth);
      } catch (const FileFormatError&) {
        throw;
      } catch (const Error& error) {
        fail(error.what());
      }
    }
    if (word() != "return") fail("expected a node or return");
    skip_spaces();
    if (peek() == '%') {
      do result.outputs.push_back(reference(names));
      while (accept(','));
    }
    end_of_line();
    return result;
  }

  std::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
};

}  // namespace

Graph parse_graph(const std::string& text) { return Parser(text).whole(); }

}  // namespace ds
