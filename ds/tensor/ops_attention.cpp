// SPDX-License-Identifier: Apache-2.0
// scaled_dot_product_attention of ops_nn.h.
#include <cmath>

#include "ds/base/error.h"
#include "ds/tensor/compose.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops_activation.h"
#include "ds/tensor/ops_create.h"
#include "ds/tensor/ops_linalg.h"
#include "ds/tensor/ops_nn.h"
#include "ds/tensor/ops_shape.h"
#include "ds/tensor/random.h"

namespace ds {
namespace {

/// [..., H, T, D] as [B, H, T, D] with the leading dimensions of `lead`.
Tensor four_d(const Tensor& x, const Shape& lead) {
  Shape full = lead;
  const int64_t heads = x.dim() > 2 ? x.size(-3) : 1;
  for (int64_t size : {heads, x.size(-2), x.size(-1)}) full.push_back(size);
  const Tensor wide = x.dim() < full.rank() ? reshaped(x,
                                                       [&] {
                                                         Shape shape = x.shape();
                                                         while (shape.rank() < full.rank())
                                                           shape.insert(0, 1);
                                                         return shape;
                                                       }())
                                            : x;
  return reshaped(expanded(wide, full), {lead.numel(), heads, x.size(-2), x.size(-1)});
}

Shape leading(const Tensor& x) {
  return x.dim() <= 3 ? Shape{} : Shape(x.shape().begin(), x.shape().end() - 3);
}

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const OptionalTensor& attn_mask, double dropout_p,
                                    bool is_causal, std::optional<double> scale, bool enable_gqa) {
  const char* op = "scaled_dot_product_attention";
  DS_CHECK(query.dim() >= 2 && key.dim() >= 2 && value.dim() >= 2, ShapeError, op, ": query ",
           query.type(), ", key ", key.type(), " and value ", value.type(),
           " must have at least 2 dimensions");
  DS_CHECK(query.size(-1) == key.size(-1) && key.size(-2) == value.size(-2), ShapeError, op,
           ": query ", query.type(), ", key ", key.type(), " and value ", value.type(),
           " do not fit");
  DS_CHECK(!(is_causal && present(attn_mask)), ValueError, op,
           ": give attn_mask or is_causal, not both");
  DS_CHECK(dropout_p >= 0 && dropout_p <= 1, ValueError, op, ": dropout_p ", dropout_p,
           " must be between 0 and 1");
  Shape lead = broadcast_shapes(leading(query), leading(key), op);
  lead = broadcast_shapes(lead, leading(value), op);
  const Tensor q = four_d(query, lead);
  Tensor k = four_d(key, lead), v = four_d(value, lead);
  const int64_t heads = q.shape()[1];
  if (!enable_gqa) {
    DS_CHECK((k.shape()[1] == heads || k.shape()[1] == 1) && v.shape()[1] == k.shape()[1],
             ShapeError, op, ": query ", query.type(), " and key ", key.type(),
             " differ in heads; pass enable_gqa=True to share keys between heads");
  }
  DS_CHECK(k.shape()[1] > 0 && heads % k.shape()[1] == 0 && v.shape()[1] == k.shape()[1],
           ShapeError, op, ": ", k.shape()[1], " key heads do not divide ", heads, " query heads");
  const double factor =
      scale.value_or(1.0 / std::sqrt(static_cast<double>(std::max<int64_t>(q.shape()[3], 1))));
  OptionalTensor mask;
  if (present(attn_mask)) {
    Shape wide = attn_mask->shape();
    while (wide.rank() < lead.rank() + 3) wide.insert(0, 1);
    Shape four{1, wide[wide.rank() - 3], wide[wide.rank() - 2], wide.back()};
    Shape own_lead(wide.begin(), wide.end() - 3);
    Tensor m = reshaped(*attn_mask, wide);
    if (own_lead.numel() != 1) {
      Shape full = lead;
      for (int i = 1; i < 4; ++i) full.push_back(four[i]);
      m = expanded(m, full);
      four[0] = lead.numel();
    }
    m = reshaped(m, four);
    mask = m.dtype() == DType::bool_ ? m : to_dtype(m, q.dtype());
  }
  std::vector<Tensor> inputs{q, k, v};
  if (mask) inputs.push_back(*mask);
  int64_t call = 0;
  if (dropout_p > 0) {
    const Generator::Ticket ticket = default_generator().next(query.device());
    inputs.push_back(ticket.leaf);
    call = ticket.call;
  }
  const Tensor out = record_all(Op::attention_, inputs, {is_causal, factor, dropout_p, call})[0];
  Shape shape = lead;
  if (query.dim() > 2) shape.push_back(heads);
  shape.push_back(q.shape()[2]);
  shape.push_back(v.shape()[3]);
  return reshaped(out, shape);
}

}  // namespace ds
