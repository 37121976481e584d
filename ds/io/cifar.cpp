// SPDX-License-Identifier: Apache-2.0
#include "ds/io/cifar.h"

#include "ds/base/error.h"
#include "ds/io/file.h"

namespace ds::io {

std::pair<Tensor, Tensor> load_cifar(const std::vector<std::string>& paths, int label_bytes) {
  constexpr size_t kImage = 3 * 32 * 32;
  const size_t labels_size = static_cast<size_t>(label_bytes);
  std::vector<unsigned char> images;
  std::vector<int64_t> labels;
  for (const std::string& path : paths) {
    const MappedFile file(path);
    const Bytes bytes = file.bytes();
    DS_CHECK(!bytes.empty() && bytes.size() % (labels_size + kImage) == 0, FileFormatError, path,
             ": ", bytes.size(), " bytes are no whole number of CIFAR records");
    for (size_t at = 0; at < bytes.size(); at += labels_size + kImage) {
      labels.push_back(bytes[at + labels_size - 1]);
      const Bytes image = bytes.subspan(at + labels_size, kImage);
      images.insert(images.end(), image.begin(), image.end());
    }
  }
  const auto n = static_cast<int64_t>(labels.size());
  return {Tensor::from_host(images.data(), {DType::u8, {n, 3, 32, 32}}),
          Tensor::from_host(labels.data(), {DType::i64, {n}})};
}

}  // namespace ds::io
