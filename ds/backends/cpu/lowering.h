// SPDX-License-Identifier: Apache-2.0
// Lowering: turns the nodes of a graph into steps over memory slots, one function per op family.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "ds/backends/cpu/program.h"

namespace ds::cpu {

class Lowering {
 public:
  Lowering(const Graph& graph, const CompileOptions& options);
  std::unique_ptr<Executable> compile();

  /// Where a value lies; its node has been lowered.
  const View& view(const Value& value) const;
  /// States where an output of `node` lies.
  void define(const Node& node, int output, View view);

  /// Something reads this output of a node.
  bool is_read(const Node& node, int output) const;

  /// A new temporary, row-major or with the given dense strides.
  View temp(DType dtype, const Shape& dims);
  View temp(DType dtype, const Shape& dims, const Shape& strides);
  /// A temporary for `bytes` of scratch memory.
  View scratch(size_t bytes);
  /// Memory with these bytes that the program owns.
  View constant(DType dtype, const Shape& dims, std::vector<char> bytes);

  /// The view itself when it lies so, else a copy (made once per program).
  View row_major(const Node& node, const View& view);
  View channels_last(const Node& node, const View& view);
  View dense(const Node& node, const View& view);
  View arranged(const Node& node, const View& view, const Shape& strides);
  /// The view itself when it has this dtype, else a converted copy with the same nesting.
  View cast(const Node& node, const View& view, DType dtype);
  /// Row-major weights in a packed layout: a copy made once per program, and kept with the weights
  /// where they are an input that the program does not update.
  View packed(const Node& node, const View& view, const PackedLayoutPtr& layout);
  /// The same in a layout that only the caller's kernel knows: fill(from, to) makes the copy.
  View packed(const Node& node, const View& view, const LayoutPtr& layout, std::string kernel,
              std::function<void(const void* from, void* to)> fill);
  /// The view is an input of the program or a copy that is kept with one, all of it, and the input
  /// is still there after the run.
  bool is_kept(const View& view) const;
  /// Row-major f32 weights, each output channel times its number in `scale`, in another dtype and a
  /// packed layout (row-major when null): a copy that is kept with them. Both are is_kept().
  View scaled_weights(const Node& node, const View& weights, const View& scale, DType dtype,
                      const PackedLayoutPtr& layout);
  /// Where the outputs of a fused node lie that are kept with the inputs they are made of: the
  /// scales and shifts that epilogues of convolutions read. Empty when it is no such node.
  std::vector<View> kept_outputs(const Node& fused);
  /// The step makes these copies: it is left out where they are there.
  void make_copies(Step& step, const std::vector<View>& copies) const;
  /// A cast of an input that contractions read as their weight: a copy that is kept with the input
  /// where that outlives the run. False when it is none.
  bool keep_cast(const Node& node);
  /// What a node takes up: the convolution of a fused node, the squares of a sum. Nothing else
  /// reads it, and it is lowered with the node. Null when there is none.
  const Node* taken_up(const Node& node) const;
  /// The weights of a convolution that is taken up, whose cast waits until it is known to be
  /// needed.
  const View& weights_of(const Node& conv);
  /// The program is a training step: what is computed again gives the same bits.
  bool trains() const { return trains_; }

  /// Appends a step. `node` is what it is for: profiles and errors name it.
  Step& emit(const Node& node, std::string kernel, const std::vector<View>& reads,
             const std::vector<View>& writes, std::function<void(const Frame&)> run);
  void emit_copy(const Node& node, const View& src, const View& dst);

  /// Lowers one node, by the backend's own kernel or the reference backend's. Also used for the
  /// body of a fused node.
  void lower(const Node& node);

 private:
  /// The node that made what lies in the view's slot, or `node` when that is being lowered. A copy
  /// that several nodes share belongs to it: it is lost with its source, not with the first user.
  const Node& maker(const View& view, const Node& node) const;
  void find_taken_up();
  /// The program's inputs that views which are is_kept() are made of.
  std::vector<int> inputs_of(const std::vector<View>& views) const;
  /// Something else than a cast was made of inputs.
  bool is_made(const View& view) const;
  /// Memory, as bytes, for a copy that is kept with an input.
  View input_copy(int input, const LayoutPtr& layout);
  void declare_inputs();
  void place_outputs();
  std::vector<int> memory_of_slots() const;
  bool may_rename(int slot, size_t output, const View& view) const;
  void write_early(int slot);

  const Graph& graph_;
  const std::vector<NodePtr> order_;  // of the graph's nodes
  const CompileOptions& options_;
  ProgramParts parts_;
  std::unordered_map<const Node*, std::vector<View>> views_;
  std::unordered_map<const Node*, std::vector<bool>> reads_;
  std::unordered_map<int, const Node*> makers_;  // by slot
  std::unordered_set<const Node*> weight_casts_;
  std::unordered_map<const Node*, const Node*> taken_up_;  // by the node that does
  std::unordered_set<const Node*> postponed_;  // what is taken up, the casts of weights there
  std::unordered_set<const Node*> operands_;   // fused nodes that epilogues' operands come from
  bool trains_ = false;
  /// Copies made so far, by what was copied and how it lies now.
  using CopyKey = std::tuple<int, int64_t, DType, std::vector<int64_t>, std::vector<int64_t>,
                             std::vector<int64_t>, DType, const void*>;
  std::map<CopyKey, View> copies_;
  std::vector<PackedLayoutPtr> layouts_;
  /// Copies in a kernel's own layout, by what was copied.
  std::vector<std::tuple<View, LayoutPtr, View>> own_copies_;
};

/// Lowers a node; false with the reason in `why` when this backend has no kernel for it.
using LowerFn = bool (*)(Lowering& lowering, const Node& node, std::string& why);
/// The function of an op; null when the op has none.
LowerFn lower_function(Op op);

// One per family of ops.
bool lower_source(Lowering& l, const Node& node, std::string& why);
bool lower_movement(Lowering& l, const Node& node, std::string& why);
bool lower_elementwise(Lowering& l, const Node& node, std::string& why);
bool lower_typed(Lowering& l, const Node& node, std::string& why);
bool lower_fused(Lowering& l, const Node& node, std::string& why);
bool lower_matmul(Lowering& l, const Node& node, std::string& why);
bool lower_convolution(Lowering& l, const Node& node, std::string& why);
bool lower_reduce(Lowering& l, const Node& node, std::string& why);
bool lower_arg_reduce(Lowering& l, const Node& node, std::string& why);
bool lower_softmax(Lowering& l, const Node& node, std::string& why);
bool lower_cross_entropy(Lowering& l, const Node& node, std::string& why);
bool lower_batch_norm(Lowering& l, const Node& node, std::string& why);
bool lower_group_norm(Lowering& l, const Node& node, std::string& why);
bool lower_layer_norm(Lowering& l, const Node& node, std::string& why);
bool lower_layer_norm_backward(Lowering& l, const Node& node, std::string& why);
bool lower_pool(Lowering& l, const Node& node, std::string& why);
bool lower_pool_backward(Lowering& l, const Node& node, std::string& why);
bool lower_resample(Lowering& l, const Node& node, std::string& why);
bool lower_recurrent(Lowering& l, const Node& node, std::string& why);
bool lower_attention(Lowering& l, const Node& node, std::string& why);
bool lower_attention_backward(Lowering& l, const Node& node, std::string& why);
bool lower_random(Lowering& l, const Node& node, std::string& why);
bool lower_sort(Lowering& l, const Node& node, std::string& why);
bool lower_scan(Lowering& l, const Node& node, std::string& why);
bool lower_index(Lowering& l, const Node& node, std::string& why);

/// Runs a node by the reference backend. NotImplementedError with `why` when that is not there.
void lower_reference(Lowering& l, const Node& node, const std::string& why);

}  // namespace ds::cpu
