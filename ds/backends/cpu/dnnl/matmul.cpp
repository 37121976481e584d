// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/dnnl/matmul.h"

#include "ds/backends/cpu/dnnl/engine.h"

namespace ds::cpu {

struct MatmulPlan::State {
  Primitive primitive;
  bool swapped;  // computes dst^T = rhs^T lhs^T
  dnnl::memory::desc lhs, rhs, bias, dst;
  std::vector<std::pair<int, dnnl::memory::desc>> operands;  // position in the post-ops, descriptor
};

namespace {

/// Strides of the last two dimensions in a form that GEMM takes: one of them is 1, the other not
/// smaller than the dimension it jumps over. False when there is none.
bool settle_matrix(TensorDesc& desc) {
  const int r = desc.dims.rank();
  const int64_t rows = desc.dims[r - 2], cols = desc.dims[r - 1];
  int64_t& row_stride = desc.strides[r - 2];
  int64_t& col_stride = desc.strides[r - 1];
  if (cols == 1 && (row_stride >= 1 || rows == 1)) col_stride = 1;
  if (rows == 1) {
    if (col_stride == 1 || cols == 1) {
      row_stride = cols;
      col_stride = 1;
    } else {
      row_stride = 1;
    }
  }
  return (col_stride == 1 && row_stride >= cols) || (row_stride == 1 && col_stride >= rows);
}

bool column_major(const TensorDesc& desc) {
  const int r = desc.dims.rank();
  return desc.strides[r - 1] != 1;
}

/// A dimension of stride 0 is one of size 1.
void fold_repeats(TensorDesc& desc) {
  for (int i = 0; i < desc.dims.rank() - 2; ++i)
    if (desc.strides[i] == 0 || desc.dims[i] == 1) {
      desc.dims[i] = 1;
      desc.strides[i] = 0;
    }
}

/// Batch dimensions d and d+1 of `desc` step as one.
bool mergeable(const TensorDesc& desc, int d) {
  if (desc.dims[d] == 1 && desc.dims[d + 1] == 1) return true;
  return desc.dims[d] != 1 && desc.dims[d + 1] != 1 &&
         desc.strides[d] == desc.strides[d + 1] * desc.dims[d + 1];
}

void merge(TensorDesc& desc, int d) {
  desc.strides[d] = desc.strides[d + 1];
  desc.dims[d] *= desc.dims[d + 1];
  desc.dims.erase(d + 1);
  desc.strides.erase(d + 1);
}

void drop(TensorDesc& desc, int d) {
  desc.dims.erase(d);
  desc.strides.erase(d);
}

/// Fewer dimensions, same product: batch dimensions are dropped, merged, and joined with M when
/// all of them share rhs. `all` is lhs, rhs, dst and then operands.
void simplify(std::vector<TensorDesc*>& all) {
  TensorDesc &lhs = *all[0], &rhs = *all[1], &dst = *all[2];
  for (int d = dst.dims.rank() - 3; d >= 0; --d)
    if (dst.dims[d] == 1)
      for (TensorDesc* desc : all) drop(*desc, d);
  for (int d = dst.dims.rank() - 4; d >= 0; --d) {
    bool ok = true;
    for (const TensorDesc* desc : all) ok = ok && mergeable(*desc, d);
    if (ok)
      for (TensorDesc* desc : all) merge(*desc, d);
  }
  if (dst.dims.rank() != 3 || rhs.dims[0] != 1) return;
  // [B, M, K] x [1, K, N]: one matrix of B * M rows.
  bool ok = dst.dims[1] == 1 || dst.strides[0] == dst.strides[1] * dst.dims[1];
  ok = ok && lhs.dims[0] == dst.dims[0] &&
       (lhs.dims[1] == 1 || lhs.strides[0] == lhs.strides[1] * lhs.dims[1]);
  for (size_t i = 3; i < all.size(); ++i) {
    const TensorDesc& op = *all[i];
    const bool rows = op.dims[0] == dst.dims[0] && op.dims[1] == dst.dims[1] &&
                      (op.dims[1] == 1 || op.strides[0] == op.strides[1] * op.dims[1]);
    ok = ok && (rows || (op.dims[0] == 1 && op.dims[1] == 1));
  }
  if (!ok) return;
  for (TensorDesc* desc : all) {
    if (desc == &rhs) {
      drop(*desc, 0);
    } else if (desc->dims[1] == 1) {
      drop(*desc, 1);
    } else {
      merge(*desc, 0);
    }
  }
}

void transpose(TensorDesc& desc) {
  const int r = desc.dims.rank();
  std::swap(desc.dims[r - 2], desc.dims[r - 1]);
  std::swap(desc.strides[r - 2], desc.strides[r - 1]);
}

std::string describe(const MatmulSpec& spec) {
  return str("matmul: lhs ", spec.lhs.dtype, spec.lhs.dims, " strides ", spec.lhs.strides, ", rhs ",
             spec.rhs.dtype, spec.rhs.dims, " strides ", spec.rhs.strides, ", dst ", spec.dst.dtype,
             spec.dst.dims, " strides ", spec.dst.strides);
}

bool refuse(std::string* why, const std::string& what, const char* reason) {
  if (why) *why = str(what, ": ", reason);
  return false;
}

/// The problem as oneDNN gets it; false when it takes no such dtypes or strides.
bool normalize(MatmulSpec& spec, bool& swapped, const std::string& what, std::string* why) {
  for (const DType dtype : {spec.lhs.dtype, spec.rhs.dtype, spec.dst.dtype})
    if (!dnnl_dtype(dtype)) return refuse(why, what, "oneDNN has no matmul in this dtype");
  std::vector<TensorDesc*> all{&spec.lhs, &spec.rhs, &spec.dst};
  for (PostOp& op : spec.post_ops)
    if (op.kind == PostOp::Kind::add || op.kind == PostOp::Kind::mul) all.push_back(&op.operand);
  for (TensorDesc* desc : all) fold_repeats(*desc);
  for (size_t i = 3; i < all.size(); ++i)
    for (int d = 0; d < all[i]->dims.rank(); ++d)
      if (all[i]->strides[d] == 0) all[i]->dims[d] = 1;
  simplify(all);
  for (size_t i = 0; i < 3; ++i)
    if (!settle_matrix(*all[i])) return refuse(why, what, "strides that GEMM does not take");
  swapped = column_major(spec.dst);
  if (!swapped) return true;
  if (spec.bias) return refuse(why, what, "a bias and a column-major result");
  for (TensorDesc* desc : all) transpose(*desc);
  std::swap(spec.lhs, spec.rhs);
  return true;
}

}  // namespace

MatmulPlan::MatmulPlan(std::unique_ptr<State> state) : state_(std::move(state)) {}
MatmulPlan::~MatmulPlan() = default;

std::unique_ptr<MatmulPlan> MatmulPlan::make(const MatmulSpec& given, std::string* why,
                                             int passed_over) {
  const std::string what = describe(given);
  MatmulSpec spec = given;
  bool swapped = false;
  if (!normalize(spec, swapped, what, why)) return nullptr;
  const dnnl::memory::desc lhs = to_desc(spec.lhs), rhs = to_desc(spec.rhs),
                           dst = to_desc(spec.dst);
  dnnl::memory::desc bias;
  if (spec.bias) {
    Shape dims = Shape::filled(spec.dst.dims.rank(), 1);
    dims.back() = spec.dst.dims.back();
    bias = to_desc(row_major(spec.dst.dtype, dims));
  }
  dnnl::matmul::primitive_desc desc;
  const bool made = try_make(desc, what, why, [&] {
    const dnnl::primitive_attr attr = make_attr(spec.post_ops);
    return spec.bias ? dnnl::matmul::primitive_desc(dnnl_engine(), lhs, rhs, bias, dst, attr)
                     : dnnl::matmul::primitive_desc(dnnl_engine(), lhs, rhs, dst, attr);
  });
  if (!made) return nullptr;
  for (int i = 0; i < passed_over; ++i)
    if (!desc.next_impl() || is_reference(desc)) return nullptr;
  auto state = std::unique_ptr<State>(
      new State{Primitive(desc, dnnl::matmul(desc), what), swapped, lhs, rhs, bias, dst, {}});
  for (size_t i = 0; i < spec.post_ops.size(); ++i) {
    const PostOp& op = spec.post_ops[i];
    if (op.kind == PostOp::Kind::add || op.kind == PostOp::Kind::mul)
      state->operands.emplace_back(static_cast<int>(i), to_desc(op.operand));
  }
  return std::unique_ptr<MatmulPlan>(new MatmulPlan(std::move(state)));
}

size_t MatmulPlan::scratchpad_bytes() const { return state_->primitive.scratchpad_bytes(); }
const std::string& MatmulPlan::implementation() const { return state_->primitive.implementation(); }

void MatmulPlan::execute(const Pointers& pointers, void* scratchpad) const {
  const State& s = *state_;
  std::vector<Primitive::Arg> args{
      {DNNL_ARG_SRC, s.lhs, s.swapped ? pointers.rhs : pointers.lhs},
      {DNNL_ARG_WEIGHTS, s.rhs, s.swapped ? pointers.lhs : pointers.rhs},
      {DNNL_ARG_DST, s.dst, pointers.dst}};
  if (pointers.bias) args.push_back({DNNL_ARG_BIAS, s.bias, pointers.bias});
  DS_ASSERT(pointers.operands.size() == s.operands.size());
  for (size_t i = 0; i < s.operands.size(); ++i)
    args.push_back({DNNL_ARG_ATTR_MULTIPLE_POST_OP(s.operands[i].first) | DNNL_ARG_SRC_1,
                    s.operands[i].second, pointers.operands[i]});
  s.primitive.execute(args, scratchpad);
}

}  // namespace ds::cpu
