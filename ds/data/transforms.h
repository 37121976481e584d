// SPDX-License-Identifier: Apache-2.0
// Transforms of one image [channels, height, width] (u8 or f32), as torchvision.transforms. Random
// ones draw from a generator that the data set seeds by seed, epoch and index: what a sample looks
// like does not depend on the number of workers.
#pragma once

#include <memory>
#include <vector>

#include "ds/base/philox.h"
#include "ds/data/array.h"
#include "ds/data/resample.h"

namespace ds::data {

/// Random numbers of one sample.
class SampleRandom {
 public:
  SampleRandom(uint64_t seed, uint64_t epoch, uint64_t index);
  /// In [0, 1).
  double uniform();
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// In [0, count).
  int64_t below(int64_t count);

 private:
  int64_t state_[2];
  uint64_t index_, position_ = 0;
};

class Transform {
 public:
  virtual ~Transform() = default;
  virtual HostArray operator()(const HostArray& image, SampleRandom& random) const = 0;
};
using TransformPtr = std::shared_ptr<const Transform>;

/// Each in turn.
TransformPtr compose(std::vector<TransformPtr> transforms);
/// u8 to f32 divided by `divisor`; f32 stays.
TransformPtr to_float(double divisor = 255.0);
/// (x - mean[c]) / std[c]; converts u8 as to_float() first. ValueError for a std of 0.
TransformPtr normalize(std::vector<double> mean, std::vector<double> std);
/// Bilinear, without smoothing before shrinking. A size of one number is that of the shorter side.
TransformPtr resize(int64_t height, int64_t width);
TransformPtr resize_shorter(int64_t size);
/// The same with smoothing, see resampled().
TransformPtr resample(int64_t height, int64_t width, Filter filter);
TransformPtr resample_shorter(int64_t size, Filter filter);
TransformPtr center_crop(int64_t height, int64_t width);
/// A random place of the image with a border of zeros.
TransformPtr random_crop(int64_t height, int64_t width, int64_t padding = 0);
TransformPtr random_horizontal_flip(double p = 0.5);
TransformPtr random_vertical_flip(double p = 0.5);
/// A random part (scale of the area, ratio of the sides) resized.
TransformPtr random_resized_crop(int64_t height, int64_t width, double min_scale = 0.08,
                                 double max_scale = 1.0, double min_ratio = 3.0 / 4,
                                 double max_ratio = 4.0 / 3);
/// Turned by an angle in [-degrees, degrees] about the centre; nearest neighbour, zeros outside.
TransformPtr random_rotation(double degrees);
/// Moved by up to that part of the size, nearest neighbour, zeros outside.
TransformPtr random_translate(double fraction);
/// Brightness and contrast scaled by a factor in [1 - x, 1 + x].
TransformPtr color_jitter(double brightness = 0, double contrast = 0);
/// RGB to gray by ITU-R BT.601, `channels` times.
TransformPtr grayscale(int64_t channels = 1);
/// A random rectangle set to zero with probability p.
TransformPtr random_erasing(double p = 0.5);

}  // namespace ds::data
