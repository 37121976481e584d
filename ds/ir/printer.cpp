// SPDX-License-Identifier: Apache-2.0
#include <sstream>
#include <unordered_map>

#include "ds/ir/graph.h"

namespace ds {
namespace {

class Printer {
 public:
  void graph(const Graph& graph, const std::string& indent) {
    std::unordered_map<const Node*, size_t> numbers;
    for (const NodePtr& node : graph.topological()) {
      const size_t number = numbers.size();
      numbers.emplace(node.get(), number);
      out_ << indent << '%' << number << " = ";
      line(*node, numbers, indent);
    }
    out_ << indent << "return";
    for (size_t i = 0; i < graph.outputs.size(); ++i)
      reference(out_ << (i ? ", " : " "), graph.outputs[i], numbers);
    out_ << '\n';
  }

  std::string text() const { return out_.str(); }

 private:
  using Numbers = std::unordered_map<const Node*, size_t>;

  static void reference(std::ostream& out, const Value& value, const Numbers& numbers) {
    out << '%' << numbers.at(value.node.get());
    if (value.index > 0) out << '.' << value.index;
  }

  void line(const Node& node, const Numbers& numbers, const std::string& indent) {
    out_ << op_name(node.op());
    for (size_t i = 0; i < node.inputs().size(); ++i)
      reference(out_ << (i ? ", " : "("), node.inputs()[i], numbers);
    if (!node.inputs().empty()) out_ << ')';
    const std::vector<AttrSpec>& specs = node.info().attrs;
    for (size_t i = 0; i < node.attrs().size(); ++i)
      out_ << (i ? ", " : " {") << specs[i].name << '=' << attr_text(node.attrs()[i]);
    if (!node.attrs().empty()) out_ << '}';
    for (int i = 0; i < node.outputs(); ++i) out_ << (i ? ", " : " : ") << node.type(i);
    if (node.op() == Op::fused_) {
      out_ << " {\n";
      graph(*node.body(), indent + "  ");
      out_ << indent << '}';
    }
    out_ << '\n';
  }

  std::ostringstream out_;
};

}  // namespace

std::string print_graph(const Graph& graph) {
  Printer printer;
  printer.graph(graph, "");
  return printer.text();
}

}  // namespace ds
