// SPDX-License-Identifier: Apache-2.0
#include "ds/data/transforms.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

#include "ds/base/error.h"

namespace ds::data {
namespace {

using Function = std::function<HostArray(const HostArray&, SampleRandom&)>;

class FunctionTransform final : public Transform {
 public:
  explicit FunctionTransform(Function f) : f_(std::move(f)) {}
  HostArray operator()(const HostArray& image, SampleRandom& random) const override {
    return f_(image, random);
  }

 private:
  Function f_;
};

TransformPtr make(Function f) { return std::make_shared<FunctionTransform>(std::move(f)); }

void check_image(const HostArray& image, const char* op) {
  DS_CHECK(image.shape().rank() == 3 && (image.dtype() == DType::u8 || image.dtype() == DType::f32),
           ShapeError, op, ": ", image.type(),
           " is no image; use uint8 or float32 [channels, height, width]");
}

/// Calls f(T{}) with the element type of an image.
template <class F>
HostArray typed(const HostArray& image, F&& f) {
  return image.dtype() == DType::u8 ? f(uint8_t{}) : f(float{});
}

template <class T>
T rounded(double value) {
  if constexpr (std::is_same_v<T, uint8_t>)
    return static_cast<T>(std::clamp(std::lround(value), 0l, 255l));
  else
    return static_cast<T>(value);
}

/// out(y, x) = image at source(y, x), zero outside: a geometric transform by nearest neighbour.
template <class Source>
HostArray gathered(const HostArray& image, int64_t height, int64_t width, Source source) {
  const int64_t channels = image.shape()[0], h = image.shape()[1], w = image.shape()[2];
  return typed(image, [&](auto tag) {
    using T = decltype(tag);
    HostArray out({image.dtype(), {channels, height, width}});
    T* to = out.template as<T>();
    const T* from = image.as<T>();
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) {
        const auto [sy, sx] = source(y, x);
        const bool inside = sy >= 0 && sy < h && sx >= 0 && sx < w;
        for (int64_t c = 0; c < channels; ++c)
          to[(c * height + y) * width + x] = inside ? from[(c * h + sy) * w + sx] : T{};
      }
    }
    return out;
  });
}

HostArray crop(const HostArray& image, int64_t top, int64_t left, int64_t height, int64_t width) {
  return gathered(image, height, width,
                  [=](int64_t y, int64_t x) { return std::pair(y + top, x + left); });
}

HostArray resized(const HostArray& image, int64_t height, int64_t width) {
  const int64_t channels = image.shape()[0], h = image.shape()[1], w = image.shape()[2];
  DS_CHECK(height > 0 && width > 0 && h > 0 && w > 0, ValueError, "resize: from ", h, "x", w,
           " to ", height, "x", width);
  if (h == height && w == width) return image;
  const auto taps = [](int64_t in, int64_t out, int64_t i) {
    const double at = std::clamp(
        (static_cast<double>(i) + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5,
        0.0, static_cast<double>(in - 1));
    const auto low = static_cast<int64_t>(at);
    return std::tuple(low, std::min(low + 1, in - 1), at - static_cast<double>(low));
  };
  return typed(image, [&](auto tag) {
    using T = decltype(tag);
    HostArray out({image.dtype(), {channels, height, width}});
    const T* from = image.as<T>();
    for (int64_t y = 0; y < height; ++y) {
      const auto [y0, y1, fy] = taps(h, height, y);
      for (int64_t x = 0; x < width; ++x) {
        const auto [x0, x1, fx] = taps(w, width, x);
        for (int64_t c = 0; c < channels; ++c) {
          const T* plane = from + c * h * w;
          const double top = plane[y0 * w + x0] * (1 - fx) + plane[y0 * w + x1] * fx;
          const double low = plane[y1 * w + x0] * (1 - fx) + plane[y1 * w + x1] * fx;
          out.template as<T>()[(c * height + y) * width + x] =
              rounded<T>(top * (1 - fy) + low * fy);
        }
      }
    }
    return out;
  });
}

/// Height and width with a shorter side of `size`.
std::pair<int64_t, int64_t> with_shorter(const HostArray& image, int64_t size) {
  const int64_t h = image.shape()[1], w = image.shape()[2];
  if (h <= w) return {size, std::max<int64_t>(size * w / std::max<int64_t>(h, 1), 1)};
  return {std::max<int64_t>(size * h / std::max<int64_t>(w, 1), 1), size};
}

HostArray as_float(const HostArray& image, double divisor) {
  if (image.dtype() == DType::f32) return image;
  DS_CHECK(image.dtype() == DType::u8, DTypeError, "to_float: the image is ", image.type(),
           "; it must be uint8 or float32");
  HostArray out({DType::f32, image.shape()});
  const auto scale = static_cast<float>(1 / divisor);
  for (int64_t i = 0; i < image.shape().numel(); ++i)
    out.as<float>()[i] = static_cast<float>(image.as<uint8_t>()[i]) * scale;
  return out;
}

}  // namespace

SampleRandom::SampleRandom(uint64_t seed, uint64_t epoch, uint64_t index)
    : state_{static_cast<int64_t>(seed), static_cast<int64_t>(epoch)}, index_(index) {}

double SampleRandom::uniform() {
  // One block of the stream per number: a sample draws few.
  const PhiloxStream stream(state_, 0);
  const PhiloxBlock block = stream.block(index_ << 16 | (position_++ & 0xffff));
  return static_cast<double>(block[0]) / 4294967296.0;
}

int64_t SampleRandom::below(int64_t count) {
  return std::min(static_cast<int64_t>(uniform() * static_cast<double>(count)), count - 1);
}

TransformPtr compose(std::vector<TransformPtr> transforms) {
  return make([transforms = std::move(transforms)](const HostArray& image, SampleRandom& random) {
    HostArray x = image;
    for (const TransformPtr& transform : transforms) x = (*transform)(x, random);
    return x;
  });
}

TransformPtr to_float(double divisor) {
  DS_CHECK(divisor != 0, ValueError, "to_float: the divisor is 0");
  return make([=](const HostArray& image, SampleRandom&) { return as_float(image, divisor); });
}

TransformPtr normalize(std::vector<double> mean, std::vector<double> std) {
  DS_CHECK(mean.size() == std.size() && !mean.empty(), ValueError, "normalize: ", mean.size(),
           " means and ", std.size(), " standard deviations; give one of each per channel");
  for (const double s : std) DS_CHECK(s != 0, ValueError, "normalize: a standard deviation is 0");
  return make([=](const HostArray& image, SampleRandom&) {
    check_image(image, "normalize");
    HostArray in = as_float(image, 255.0), out(in.type());
    const auto channels = static_cast<size_t>(in.shape()[0]);
    DS_CHECK(mean.size() == 1 || mean.size() == channels, ShapeError, "normalize: ", mean.size(),
             " means for an image ", image.type());
    const int64_t plane = in.shape()[1] * in.shape()[2];
    for (size_t c = 0; c < channels; ++c) {
      const size_t k = mean.size() == 1 ? 0 : c;
      const auto shift = static_cast<float>(mean[k]), scale = static_cast<float>(1 / std[k]);
      const float* from = in.as<float>() + static_cast<int64_t>(c) * plane;
      float* to = out.as<float>() + static_cast<int64_t>(c) * plane;
      for (int64_t i = 0; i < plane; ++i) to[i] = (from[i] - shift) * scale;
    }
    return out;
  });
}

TransformPtr resize(int64_t height, int64_t width) {
  return make([=](const HostArray& image, SampleRandom&) {
    check_image(image, "resize");
    return resized(image, height, width);
  });
}

TransformPtr resize_shorter(int64_t size) {
  return make([=](const HostArray& image, SampleRandom&) {
    check_image(image, "resize");
    const auto [h, w] = with_shorter(image, size);
    return resized(image, h, w);
  });
}

TransformPtr resample(int64_t height, int64_t width, Filter filter) {
  return make([=](const HostArray& image, SampleRandom&) {
    check_image(image, "resize");
    return resampled(image, height, width, filter);
  });
}

TransformPtr resample_shorter(int64_t size, Filter filter) {
  return make([=](const HostArray& image, SampleRandom&) {
    check_image(image, "resize");
    const auto [h, w] = with_shorter(image, size);
    return resampled(image, h, w, filter);
  });
}

TransformPtr center_crop(int64_t height, int64_t width) {
  return make([=](const HostArray& image, SampleRandom&) {
    check_image(image, "center_crop");
    return crop(image, (image.shape()[1] - height) / 2, (image.shape()[2] - width) / 2, height,
                width);
  });
}

TransformPtr random_crop(int64_t height, int64_t width, int64_t padding) {
  return make([=](const HostArray& image, SampleRandom& random) {
    check_image(image, "random_crop");
    const int64_t room_y = image.shape()[1] + 2 * padding - height;
    const int64_t room_x = image.shape()[2] + 2 * padding - width;
    DS_CHECK(room_y >= 0 && room_x >= 0, ShapeError, "random_crop: ", height, "x", width,
             " does not fit into ", image.type(), " with padding ", padding);
    const int64_t top = random.below(room_y + 1), left = random.below(room_x + 1);
    return crop(image, top - padding, left - padding, height, width);
  });
}

TransformPtr random_horizontal_flip(double p) {
  return make([=](const HostArray& image, SampleRandom& random) {
    check_image(image, "random_horizontal_flip");
    if (random.uniform() >= p) return image;
    const int64_t h = image.shape()[1], w = image.shape()[2];
    return gathered(image, h, w, [=](int64_t y, int64_t x) { return std::pair(y, w - 1 - x); });
  });
}

TransformPtr random_vertical_flip(double p) {
  return make([=](const HostArray& image, SampleRandom& random) {
    check_image(image, "random_vertical_flip");
    if (random.uniform() >= p) return image;
    const int64_t h = image.shape()[1], w = image.shape()[2];
    return gathered(image, h, w, [=](int64_t y, int64_t x) { return std::pair(h - 1 - y, x); });
  });
}

TransformPtr random_resized_crop(int64_t height, int64_t width, double min_scale, double max_scale,
                                 double min_ratio, double max_ratio) {
  return make([=](const HostArray& image, SampleRandom& random) {
    check_image(image, "random_resized_crop");
    const auto h = static_cast<double>(image.shape()[1]);
    const auto w = static_cast<double>(image.shape()[2]);
    for (int attempt = 0; attempt < 10; ++attempt) {
      const double area = h * w * random.uniform(min_scale, max_scale);
      const double ratio = std::exp(random.uniform(std::log(min_ratio), std::log(max_ratio)));
      const auto cw = static_cast<int64_t>(std::lround(std::sqrt(area * ratio)));
      const auto ch = static_cast<int64_t>(std::lround(std::sqrt(area / ratio)));
      if (cw < 1 || ch < 1 || cw > image.shape()[2] || ch > image.shape()[1]) continue;
      const int64_t top = random.below(image.shape()[1] - ch + 1);
      const int64_t left = random.below(image.shape()[2] - cw + 1);
      return resized(crop(image, top, left, ch, cw), height, width);
    }
    return resized(image, height, width);
  });
}

TransformPtr random_rotation(double degrees) {
  return make([=](const HostArray& image, SampleRandom& random) {
    check_image(image, "random_rotation");
    const double angle = random.uniform(-degrees, degrees) * std::numbers::pi / 180;
    const double c = std::cos(angle), s = std::sin(angle);
    const int64_t h = image.shape()[1], w = image.shape()[2];
    const double cy = static_cast<double>(h - 1) / 2, cx = static_cast<double>(w - 1) / 2;
    return gathered(image, h, w, [=](int64_t y, int64_t x) {
      const double dy = static_cast<double>(y) - cy, dx = static_cast<double>(x) - cx;
      return std::pair<int64_t, int64_t>(std::lround(cy + c * dy - s * dx),
                                         std::lround(cx + s * dy + c * dx));
    });
  });
}

TransformPtr random_translate(double fraction) {
  return make([=](const HostArray& image, SampleRandom& random) {
    check_image(image, "random_translate");
    const int64_t h = image.shape()[1], w = image.shape()[2];
    const double ry = fraction * static_cast<double>(h), rx = fraction * static_cast<double>(w);
    const int64_t top = std::lround(random.uniform(-ry, ry));
    const int64_t left = std::lround(random.uniform(-rx, rx));
    return crop(image, top, left, h, w);
  });
}

TransformPtr color_jitter(double brightness, double contrast) {
  return make([=](const HostArray& image, SampleRandom& random) {
    check_image(image, "color_jitter");
    const double light = random.uniform(std::max(1 - brightness, 0.0), 1 + brightness);
    const double spread = random.uniform(std::max(1 - contrast, 0.0), 1 + contrast);
    return typed(image, [&](auto tag) {
      using T = decltype(tag);
      HostArray out(image.type());
      const int64_t n = image.shape().numel();
      double mean = 0;
      for (int64_t i = 0; i < n; ++i) mean += static_cast<double>(image.as<T>()[i]) * light;
      mean /= static_cast<double>(std::max<int64_t>(n, 1));
      for (int64_t i = 0; i < n; ++i)
        out.template as<T>()[i] =
            rounded<T>(mean + (static_cast<double>(image.as<T>()[i]) * light - mean) * spread);
      return out;
    });
  });
}

TransformPtr grayscale(int64_t channels) {
  return make([=](const HostArray& image, SampleRandom&) {
    check_image(image, "grayscale");
    DS_CHECK(image.shape()[0] == 3 || image.shape()[0] == 1, ShapeError,
             "grayscale: ", image.type(), " has neither 1 nor 3 channels");
    return typed(image, [&](auto tag) {
      using T = decltype(tag);
      const int64_t plane = image.shape()[1] * image.shape()[2];
      HostArray out({image.dtype(), {channels, image.shape()[1], image.shape()[2]}});
      const T* x = image.as<T>();
      for (int64_t i = 0; i < plane; ++i) {
        const T gray =
            image.shape()[0] == 1
                ? x[i]
                : rounded<T>(0.299 * x[i] + 0.587 * x[plane + i] + 0.114 * x[2 * plane + i]);
        for (int64_t c = 0; c < channels; ++c) out.template as<T>()[c * plane + i] = gray;
      }
      return out;
    });
  });
}

TransformPtr random_erasing(double p) {
  return make([=](const HostArray& image, SampleRandom& random) {
    check_image(image, "random_erasing");
    if (random.uniform() >= p) return image;
    const int64_t h = image.shape()[1], w = image.shape()[2];
    const int64_t eh = std::max<int64_t>(random.below(h / 2 + 1), 1);
    const int64_t ew = std::max<int64_t>(random.below(w / 2 + 1), 1);
    const int64_t top = random.below(h - eh + 1), left = random.below(w - ew + 1);
    return gathered(image, h, w, [=](int64_t y, int64_t x) {
      const bool erased = y >= top && y < top + eh && x >= left && x < left + ew;
      return erased ? std::pair<int64_t, int64_t>(-1, -1) : std::pair(y, x);
    });
  });
}

}  // namespace ds::data
