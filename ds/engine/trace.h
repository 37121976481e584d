// SPDX-License-Identifier: Apache-2.0
// Trace: the pending nodes behind a request in a canonical order, and the key of their plan.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ds/engine/engine.h"

namespace ds {

struct Trace {
  std::vector<const Node*> nodes;  // to compute, inputs first
  std::vector<BufferPtr> inputs;   // realized values they read
  /// Positions in `nodes` of constants, and their values' bits: constants that differ from run to
  /// run become inputs of the plan (see ProgramCache).
  std::vector<uint32_t> constants;
  std::vector<uint64_t> constant_bits;
  uint64_t key = 0;  // structure, types, layouts and donations; not the constants' values
};

/// Walks the request. The visit_index of a node in `nodes` is its position; of a realized node its
/// input slot. Call under graph_mutex().
Trace make_trace(const EvaluateRequest& request);

/// The trace as a graph: inputs first, then one 0-d input for each constant k with lifted[k].
Graph import_trace(const Trace& trace, const Values& outputs, const std::vector<bool>& lifted,
                   Interner& interner);

/// The first difference between two imported graphs, for people: op, place, what differs.
std::string describe_difference(const Graph& now, const Graph& before);

/// How many leading nodes two graphs have in common.
size_t common_prefix(const Graph& a, const Graph& b);

}  // namespace ds
