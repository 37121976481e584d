// SPDX-License-Identifier: Apache-2.0
// JPEG and PNG by libjpeg and libpng.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ds/io/file.h"
#include "ds/tensor/tensor.h"

namespace ds::io {

/// How colours come out: as stored (gray or RGB, alpha dropped), or converted.
enum class ImageMode { unchanged, gray, rgb };

/// Samples of one image in rows of pixels: [height, width, channels].
struct Image {
  int64_t height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels;
};

/// FileFormatError naming `name` for anything but a sound JPEG or PNG of at most 2^28 samples.
Image decode_image(Bytes bytes, const std::string& name, ImageMode mode = ImageMode::rgb);
/// u8 [channels, height, width] of the samples.
Tensor image_tensor(const Image& image);
/// u8 [channels, height, width] of a file.
Tensor read_image(const std::string& path, ImageMode mode = ImageMode::rgb);
/// Writes u8 [1 or 3, height, width] (or [height, width]) as PNG. ShapeError and DTypeError for
/// other tensors.
void write_png(const Tensor& image, const std::string& path);

}  // namespace ds::io
