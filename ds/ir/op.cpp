// SPDX-License-Identifier: Apache-2.0
#include "ds/ir/op.h"

#include <unordered_map>

#include "ds/base/error.h"

namespace ds {
namespace {

AttrKind parse_kind(std::string_view kind) {
  if (kind == "int") return AttrKind::int_;
  if (kind == "float") return AttrKind::float_;
  if (kind == "bool") return AttrKind::bool_;
  if (kind == "dtype") return AttrKind::dtype;
  if (kind == "ints") return AttrKind::ints;
  DS_ASSERT(kind == "str", kind);
  return AttrKind::str;
}

/// "dim:int keepdim:bool" as specs; the views point into the row's literal.
std::vector<AttrSpec> parse_attrs(std::string_view text) {
  std::vector<AttrSpec> specs;
  while (!text.empty()) {
    const size_t space = text.find(' ');
    const std::string_view item = text.substr(0, space);
    const size_t colon = item.find(':');
    specs.push_back({item.substr(0, colon), parse_kind(item.substr(colon + 1))});
    text = space == std::string_view::npos ? std::string_view() : text.substr(space + 1);
  }
  return specs;
}

const std::vector<OpInfo>& table() {
  static const std::vector<OpInfo> rows = {
#define DS_OP(name, lo, hi, outs, cls, traits, attrs, rule, doc) \
  OpInfo{#name, lo, hi, outs, OpClass::cls, static_cast<uint32_t>(traits), parse_attrs(attrs), doc},
#include "ds/ir/ops.def"
#undef DS_OP
  };
  return rows;
}

}  // namespace

const OpInfo& op_info(Op op) {
  static const OpInfo* rows = table().data();
  return rows[static_cast<size_t>(op)];
}

Op parse_op(std::string_view name) {
  static const auto* names = [] {
    auto* map = new std::unordered_map<std::string_view, Op>;
    for (int i = 0; i < kOpCount; ++i)
      map->emplace(table()[static_cast<size_t>(i)].name, static_cast<Op>(i));
    return map;
  }();
  const auto found = names->find(name);
  DS_CHECK(found != names->end(), ValueError, "op '", name, "' is unknown");
  return found->second;
}

}  // namespace ds
