// SPDX-License-Identifier: Apache-2.0
// Trace: the pending nodes behind a request in a canonical order, and the key of their plan.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ds/engine/engine.h"

namespace ds {

struct Trace {
  std::vector<const Node*> nodes;  // to compute, inputs first
  std::vector<BufferPtr> inputs;   // realized values they read
  /// Constants among `nodes` and in bodies of recorded functions, and their values' bits: constants
  /// that differ from run to run become inputs of the plan (see ProgramCache).
  std::vector<const Node*> constants;
  std::vector<uint64_t> constant_bits;
  uint64_t key = 0;  // structure, types, layouts and donations; not the constants' values
};

/// Walks the request. The visit_index of a node in `nodes` is its position; of a realized node its
/// input slot. Call under graph_mutex().
Trace make_trace(const EvaluateRequest& request);

/// (output, input slot) of the request's donations whose buffer the trace reads.
std::vector<std::pair<size_t, size_t>> find_donations(const EvaluateRequest& request,
                                                      const Trace& trace);

/// The trace as a graph: inputs first, then one 0-d input for each constant k with lifted[k].
/// Recorded functions (ds/tensor/function.h) are replaced by the operations of their bodies.
Graph import_trace(const Trace& trace, const Values& outputs, const std::vector<bool>& lifted,
                   Interner& interner);

/// The first difference between two imported graphs, for people: op, place, what differs.
std::string describe_difference(const Graph& now, const Graph& before);

/// How many leading nodes two graphs have in common.
size_t common_prefix(const Graph& a, const Graph& b);

}  // namespace ds
