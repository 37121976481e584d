// SPDX-License-Identifier: Apache-2.0
#include "ds/data/array.h"

#include <cstring>

#include "ds/base/error.h"
#include "ds/runtime/buffer.h"

namespace ds::data {

HostArray::HostArray(Type type)
    : type_(std::move(type)), memory_(new char[std::max<size_t>(type_bytes(type_), 1)]) {}

HostArray::HostArray(const Tensor& tensor) : HostArray(tensor.type()) {
  tensor.copy_to_host(memory_.get());
}

size_t HostArray::bytes() const { return type_bytes(type_); }

Tensor HostArray::tensor() const {
  // A HostArray is never written to once it is shared, so the tensor may use its memory.
  return bytes() == 0 ? Tensor::from_host(memory_.get(), type_)
                      : Tensor::from_memory({memory_, memory_.get()}, type_);
}

HostArray HostArray::row(int64_t i) const {
  DS_CHECK(type_.shape.rank() > 0 && i >= 0 && i < type_.shape[0], IndexError, "dataset: index ", i,
           " is out of range for ", type_);
  HostArray out({type_.dtype, Shape(type_.shape.begin() + 1, type_.shape.end())});
  std::memcpy(out.data(), data() + static_cast<size_t>(i) * out.bytes(), out.bytes());
  return out;
}

std::vector<HostArray> collate(const std::vector<Sample>& samples) {
  std::vector<HostArray> batch;
  if (samples.empty()) return batch;
  for (size_t part = 0; part < samples[0].size(); ++part) {
    const Type& type = samples[0][part].type();
    Shape shape = type.shape;
    shape.insert(0, static_cast<int64_t>(samples.size()));
    HostArray stacked({type.dtype, shape});
    const size_t size = samples[0][part].bytes();
    for (size_t i = 0; i < samples.size(); ++i) {
      DS_CHECK(samples[i].size() == samples[0].size(), ShapeError, "collate: a sample has ",
               samples[i].size(), " parts, another ", samples[0].size());
      DS_CHECK(samples[i][part].type() == type, ShapeError, "collate: samples ", type, " and ",
               samples[i][part].type(), " do not stack; resize or pad them to one size");
      if (size > 0) std::memcpy(stacked.data() + i * size, samples[i][part].data(), size);
    }
    batch.push_back(std::move(stacked));
  }
  return batch;
}

}  // namespace ds::data
