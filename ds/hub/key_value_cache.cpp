// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/key_value_cache.h"

#include <algorithm>

#include "ds/base/error.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

/// [B, from, heads, D] -> [B, to, heads, D] with zeros behind.
Tensor lengthened(const Tensor& x, int64_t to) { return pad(x, {0, 0, 0, 0, 0, to - x.size(1)}); }

}  // namespace

Tensor to_tensor(const TokenRows& rows, Device device) {
  DS_CHECK(!rows.empty(), ShapeError, "tokens: there are no rows");
  std::vector<int64_t> flat;
  for (const auto& row : rows) {
    DS_CHECK(row.size() == rows[0].size(), ShapeError, "tokens: rows of ", rows[0].size(), " and ",
             row.size(), " tokens; pad them to one length");
    flat.insert(flat.end(), row.begin(), row.end());
  }
  const Shape shape{static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].size())};
  return Tensor::from_host(flat.data(), {DType::i64, shape}, device);
}

TokenRows to_rows(const Tensor& tensor) {
  DS_CHECK(tensor.dim() == 2, ShapeError, "tokens: ", tensor.type(), " must be [batch, tokens]");
  const std::vector<int64_t> flat = tensor.to_vector<int64_t>();
  TokenRows rows;
  const int64_t width = tensor.size(1);
  for (int64_t i = 0; i < tensor.size(0); ++i)
    rows.emplace_back(flat.begin() + i * width, flat.begin() + (i + 1) * width);
  return rows;
}

int64_t padded_length(int64_t tokens) {
  constexpr int64_t kStep = 64;
  if (tokens > kStep) return (tokens + kStep - 1) / kStep * kStep;
  int64_t length = 1;
  while (length < tokens) length *= 2;
  return length;
}

KeyValueCache::KeyValueCache(TokenRows prompt_mask, Device device)
    : device_(device), real_(std::move(prompt_mask)) {}

int64_t KeyValueCache::length() const {
  return begun_ ? static_cast<int64_t>(real_[0].size()) - front_ : 0;
}

Tensor KeyValueCache::begin_step(const TokenRows& tokens, const TokenRows& real) {
  TokenRows given = tokens;
  DS_CHECK(given.size() == real_.size() && (real.empty() || real.size() == real_.size()),
           ValueError, "past_key_values: there are ", real_.size(), " rows, not ", given.size());
  auto count = static_cast<int64_t>(given.at(0).size());
  if (!begun_) {
    begun_ = true;
    const int64_t padded = padded_length(count);
    for (size_t i = 0; i < given.size(); ++i) {
      DS_CHECK(real_.at(i).size() == given[i].size(), ShapeError,
               "attention_mask: ", real_[i].size(), " numbers for ", given[i].size(), " tokens");
      given[i].insert(given[i].begin(), static_cast<size_t>(padded - count), 0);
      real_[i].insert(real_[i].begin(), static_cast<size_t>(padded - count), 0);
    }
    front_ = padded - count;
    count = padded;
    while (capacity_ <= count) capacity_ *= 2;
  } else {
    used_ = static_cast<int64_t>(real_[0].size());
    for (size_t i = 0; i < real_.size(); ++i) {
      const std::vector<int64_t> added =
          real.empty() ? std::vector<int64_t>(static_cast<size_t>(count), 1) : real[i];
      real_[i].insert(real_[i].end(), added.begin(), added.end());
    }
    grow(count);
  }
  describe_step(count);
  return to_tensor(given, device_);
}

void KeyValueCache::restart(int64_t tokens, const TokenRows& real) {
  for (size_t i = 0; i < real_.size(); ++i) {
    auto& row = real_[i];
    row.erase(row.begin(), row.begin() + front_);
    if (!real.empty()) row.insert(row.end(), real.at(i).begin(), real[i].end());
    row.resize(static_cast<size_t>(tokens), 1);
  }
  begun_ = false;
  front_ = used_ = longest_ = 0;
  layers_.clear();
}

void KeyValueCache::grow(int64_t tokens) {
  if (used_ + tokens <= capacity_) return;
  while (capacity_ < used_ + tokens) capacity_ *= 2;
  std::vector<Tensor> all;
  for (Layer& layer : layers_) {
    layer = {lengthened(layer.first, capacity_), lengthened(layer.second, capacity_)};
    all.insert(all.end(), {layer.first, layer.second});
  }
  // Apart from the step, whose plan then serves all steps until the memory is full again.
  evaluate(all);
}

void KeyValueCache::describe_step(int64_t tokens) {
  // The prompt needs no look into the memory.
  const int64_t length = used_ == 0 ? tokens : capacity_;
  TokenRows positions;
  std::vector<uint8_t> real;
  for (const auto& row : real_) {
    auto& line = positions.emplace_back();
    int64_t before = std::count(row.begin(), row.begin() + used_, 1);
    for (int64_t i = used_; i < used_ + tokens; ++i)
      line.push_back(row[static_cast<size_t>(i)] ? before++ : 0);
    longest_ = std::max(longest_, before);
    real.insert(real.end(), row.begin(), row.end());
    real.resize(real.size() + static_cast<size_t>(length) - row.size(), 0);
  }
  positions_ = to_tensor(positions, device_);
  const auto batch = static_cast<int64_t>(real_.size());
  const Tensor known =
      Tensor::from_host(real.data(), {DType::bool_, {batch, 1, 1, length}}, device_);
  std::vector<int64_t> slots;
  for (int64_t i = 0; i < tokens; ++i) slots.push_back(used_ + i);
  slots_ = Tensor::from_host(slots.data(), {DType::i64, {tokens}}, device_);
  const Tensor at = reshape(slots_, {tokens, 1}), other = arange(length, DType::i64, device_);
  // Padding sees itself, so that no row of the scores is empty.
  mask_ = logical_or(logical_and(known, le(other, at)), eq(other, at));
}

std::pair<Tensor, Tensor> KeyValueCache::extend(size_t layer, const Tensor& keys,
                                                const Tensor& values) {
  if (layers_.size() <= layer) layers_.resize(layer + 1);
  auto& [all_keys, all_values] = layers_[layer];
  if (!all_keys.defined()) {
    all_keys = lengthened(keys, capacity_);
    all_values = lengthened(values, capacity_);
    return {keys, values};
  }
  // Written in place: the engine gives the new value the memory of the old one.
  all_keys.assign(index_copy(all_keys, 1, slots_, keys).value());
  all_values.assign(index_copy(all_values, 1, slots_, values).value());
  return {all_keys, all_values};
}

void KeyValueCache::select_rows(const std::vector<int64_t>& rows) {
  const auto count = static_cast<int64_t>(rows.size());
  const bool same_count = rows.size() == real_.size();
  bool same = same_count;
  for (int64_t i = 0; i < count && same; ++i) same = rows[static_cast<size_t>(i)] == i;
  if (same) return;
  TokenRows real;
  for (const int64_t row : rows) real.push_back(real_.at(static_cast<size_t>(row)));
  real_ = std::move(real);
  const Tensor index = Tensor::from_host(rows.data(), {DType::i64, {count}}, device_);
  std::vector<Tensor> all;
  const auto select = [&](std::vector<Layer>& layers) {
    for (auto& [keys, values] : layers) {
      if (!keys.defined()) continue;
      keys = index_select(keys, 0, index);
      values = index_select(values, 0, index);
      all.insert(all.end(), {keys, values});
    }
  };
  select(layers_);
  if (!same_count) select(fixed_);
  // Apart from the next step, which can then write in place.
  evaluate(all);
}

}  // namespace ds::hub
