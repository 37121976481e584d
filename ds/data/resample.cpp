// SPDX-License-Identifier: Apache-2.0
#include "ds/data/resample.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "ds/base/error.h"

namespace ds::data {
namespace {

// Weights of u8 images are integers of 22 bits: 8 bits of pixel and 2 of overshoot fill 32.
constexpr int kBits = 22;

double weight_at(Filter filter, double x) {
  x = std::abs(x);
  if (filter == Filter::bilinear) return std::max(0.0, 1.0 - x);
  constexpr double a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}

/// For one output position: the first input position, and the weights from there on.
struct Taps {
  int64_t first;
  std::vector<double> weights;
};

std::vector<Taps> taps_of(int64_t in, int64_t out, Filter filter) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double wide = std::max(scale, 1.0);
  const double support = (filter == Filter::bilinear ? 1.0 : 2.0) * wide;
  std::vector<Taps> all;
  for (int64_t i = 0; i < out; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
    const auto last = std::min(static_cast<int64_t>(centre + support + 0.5), in);
    Taps taps{first, {}};
    double sum = 0;
    for (int64_t at = first; at < last; ++at) {
      const double offset = static_cast<double>(at) - centre + 0.5;
      taps.weights.push_back(weight_at(filter, offset / wide));
      sum += taps.weights.back();
    }
    if (sum != 0)
      for (double& weight : taps.weights) weight /= sum;
    all.push_back(std::move(taps));
  }
  return all;
}

float summed(const float* from, int64_t step, const Taps& taps) {
  double sum = 0;
  for (size_t i = 0; i < taps.weights.size(); ++i)
    sum += taps.weights[i] * from[static_cast<int64_t>(i) * step];
  return static_cast<float>(sum);
}

uint8_t summed(const uint8_t* from, int64_t step, const Taps& taps) {
  int64_t sum = int64_t{1} << (kBits - 1);
  for (size_t i = 0; i < taps.weights.size(); ++i)
    sum += std::llround(taps.weights[i] * (1 << kBits)) * from[static_cast<int64_t>(i) * step];
  return static_cast<uint8_t>(std::clamp<int64_t>(sum >> kBits, 0, 255));
}

/// [rows, in, inner] -> [rows, out, inner].
template <class T>
void pass(const T* from, T* to, int64_t rows, int64_t in, int64_t inner, int64_t out,
          Filter filter) {
  const std::vector<Taps> taps = taps_of(in, out, filter);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < out; ++i)
      for (int64_t k = 0; k < inner; ++k)
        to[(row * out + i) * inner + k] =
            summed(from + (row * in + taps[static_cast<size_t>(i)].first) * inner + k, inner,
                   taps[static_cast<size_t>(i)]);
}

template <class T>
HostArray both_passes(const HostArray& image, int64_t height, int64_t width, Filter filter) {
  const int64_t channels = image.shape()[0], h = image.shape()[1], w = image.shape()[2];
  HostArray wide = image;
  if (w != width) {
    wide = HostArray({image.dtype(), {channels, h, width}});
    pass(image.as<T>(), wide.as<T>(), channels * h, w, 1, width, filter);
  }
  if (h == height) return wide;
  HostArray out({image.dtype(), {channels, height, width}});
  pass(static_cast<const HostArray&>(wide).as<T>(), out.as<T>(), channels, h, width, height,
       filter);
  return out;
}

}  // namespace

Filter filter_of(const std::string& name) {
  if (name == "bilinear") return Filter::bilinear;
  DS_CHECK(name == "bicubic", ValueError, "resize: the interpolation '", name,
           "' is unknown; use bilinear or bicubic");
  return Filter::bicubic;
}

HostArray resampled(const HostArray& image, int64_t height, int64_t width, Filter filter) {
  const int64_t h = image.shape()[1], w = image.shape()[2];
  DS_CHECK(height > 0 && width > 0 && h > 0 && w > 0, ValueError, "resize: from ", h, "x", w,
           " to ", height, "x", width);
  return image.dtype() == DType::u8 ? both_passes<uint8_t>(image, height, width, filter)
                                    : both_passes<float>(image, height, width, filter);
}

}  // namespace ds::data
