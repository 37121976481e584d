// SPDX-License-Identifier: Apache-2.0
// Batch, group, layer and RMS normalisation. With xhat = (x - mean) * rstd, y = xhat * gamma + beta
// and g = dy * gamma: dx = rstd * (g - mean(g) - xhat * mean(g * xhat)) over the normalised
// elements.
#include <cmath>

#include "ds/backends/ref/families.h"
#include "ds/backends/ref/tile.h"
#include "ds/base/parallel.h"

namespace ds::ref {
namespace {

/// All elements of an input as doubles.
std::vector<double> read(const KernelArgs& args, int i) {
  return load_all<double>(args.in(i), args.in_dtype(i), args.in_shape(i).numel());
}
void write(const KernelArgs& args, int i, const std::vector<double>& x) {
  store_all(x, args.out_dtype(i), args.out(i));
}

/// [N, C, ...] as N x C planes of `area` elements.
struct Channels {
  int64_t n, c, area;
  explicit Channels(const Shape& s) : n(s[0]), c(s[1]), area(product(s, 2, s.rank())) {}
  double count() const { return static_cast<double>(n * area); }
};

/// Calls f(channel, x) with the channel's elements of inputs 0..kInputs-1 gathered in x[i]; f
/// returns the elements of output 0.
template <int kInputs, class F>
void for_each_channel(const KernelArgs& args, const Channels& dims, F f) {
  std::array<Load<double>, kInputs> load;
  for (int i = 0; i < kInputs; ++i) load[static_cast<size_t>(i)] = loader<double>(args.in_dtype(i));
  const Store<double> store = storer<double>(args.out_dtype());
  parallel_for(dims.c, grain_for(dims.n * dims.area), [&](int64_t begin, int64_t end) {
    std::array<std::vector<double>, kInputs> x;
    for (auto& list : x) list.resize(static_cast<size_t>(dims.n * dims.area));
    std::vector<double> out(x[0].size());
    for (int64_t channel = begin; channel < end; ++channel) {
      for (int64_t image = 0; image < dims.n; ++image)
        for (int i = 0; i < kInputs; ++i)
          load[static_cast<size_t>(i)](args.in(i), (image * dims.c + channel) * dims.area, 1,
                                       dims.area,
                                       x[static_cast<size_t>(i)].data() + image * dims.area);
      f(static_cast<size_t>(channel), x, out);
      for (int64_t image = 0; image < dims.n; ++image)
        store(args.out(), (image * dims.c + channel) * dims.area, 1, dims.area,
              out.data() + image * dims.area);
    }
  });
}

struct Moments {
  double mean, var;
};
Moments moments(const double* x, size_t n) {
  double sum = 0, squares = 0;
  for (size_t i = 0; i < n; ++i) sum += x[i];
  const double mean = sum / static_cast<double>(n);
  for (size_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
  return {mean, squares / static_cast<double>(n)};
}

void batch_norm(const KernelArgs& args) {
  const Channels dims(args.in_shape(0));
  const double eps = args.node.attr_float("eps");
  const std::vector<double> gamma = read(args, 1), beta = read(args, 2);
  std::vector<double> mean(gamma.size()), var(gamma.size());
  for_each_channel<1>(args, dims, [&](size_t c, const auto& in, std::vector<double>& out) {
    const std::vector<double>& x = in[0];
    const Moments m = moments(x.data(), x.size());
    const double rstd = 1 / std::sqrt(m.var + eps);
    for (size_t i = 0; i < x.size(); ++i) out[i] = (x[i] - m.mean) * rstd * gamma[c] + beta[c];
    mean[c] = m.mean;
    var[c] = m.var;
  });
  write(args, 1, mean);
  write(args, 2, var);
}

void batch_norm_backward(const KernelArgs& args) {
  const Channels dims(args.in_shape(1));
  const double eps = args.node.attr_float("eps");
  const std::vector<double> gamma = read(args, 2), mean = read(args, 3), var = read(args, 4);
  std::vector<double> diff_gamma(gamma.size()), diff_beta(gamma.size());
  for_each_channel<2>(args, dims, [&](size_t c, const auto& in, std::vector<double>& out) {
    const std::vector<double>&dy = in[0], &x = in[1];
    const double rstd = 1 / std::sqrt(var[c] + eps);
    double sum = 0, dot = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      sum += dy[i];
      dot += dy[i] * (x[i] - mean[c]) * rstd;
    }
    for (size_t i = 0; i < x.size(); ++i)
      out[i] = gamma[c] * rstd *
               (dy[i] - sum / dims.count() - (x[i] - mean[c]) * rstd * dot / dims.count());
    diff_gamma[c] = dot;
    diff_beta[c] = sum;
  });
  write(args, 1, diff_gamma);
  write(args, 2, diff_beta);
}

/// [N, C, ...] in groups of `width` channels of one sample, whose elements lie together.
struct Groups {
  int64_t count, groups, width, area;
  Groups(const Shape& s, int64_t groups)
      : count(s[0] * groups), groups(groups), width(s[1] / groups), area(product(s, 2, s.rank())) {}
  size_t size() const { return static_cast<size_t>(width * area); }
  size_t channel(int64_t group, size_t i) const {
    return static_cast<size_t>(group % groups * width + static_cast<int64_t>(i) / area);
  }
};

void group_norm(const KernelArgs& args) {
  const Groups dims(args.in_shape(0), args.node.attr_int("groups"));
  const double eps = args.node.attr_float("eps");
  const std::vector<double> x = read(args, 0), gamma = read(args, 1), beta = read(args, 2);
  std::vector<double> y(x.size()), mean(static_cast<size_t>(dims.count)), var(mean.size());
  for (int64_t group = 0; group < dims.count; ++group) {
    const size_t first = static_cast<size_t>(group) * dims.size(), at = static_cast<size_t>(group);
    const Moments m = moments(x.data() + first, dims.size());
    const double rstd = 1 / std::sqrt(m.var + eps);
    for (size_t i = 0; i < dims.size(); ++i) {
      const size_t c = dims.channel(group, i);
      y[first + i] = (x[first + i] - m.mean) * rstd * gamma[c] + beta[c];
    }
    mean[at] = m.mean;
    var[at] = m.var;
  }
  write(args, 0, y);
  write(args, 1, mean);
  write(args, 2, var);
}

void group_norm_backward(const KernelArgs& args) {
  const Groups dims(args.in_shape(1), args.node.attr_int("groups"));
  const double eps = args.node.attr_float("eps"), count = static_cast<double>(dims.size());
  const std::vector<double> dy = read(args, 0), x = read(args, 1), gamma = read(args, 2),
                            mean = read(args, 3), var = read(args, 4);
  std::vector<double> dx(x.size()), diff_gamma(gamma.size()), diff_beta(gamma.size());
  for (int64_t group = 0; group < dims.count; ++group) {
    const size_t first = static_cast<size_t>(group) * dims.size(), at = static_cast<size_t>(group);
    const double rstd = 1 / std::sqrt(var[at] + eps);
    double sum = 0, dot = 0;
    for (size_t i = 0; i < dims.size(); ++i) {
      const size_t c = dims.channel(group, i);
      const double d = dy[first + i], xhat = (x[first + i] - mean[at]) * rstd;
      diff_gamma[c] += d * xhat;
      diff_beta[c] += d;
      sum += d * gamma[c];
      dot += d * gamma[c] * xhat;
    }
    for (size_t i = 0; i < dims.size(); ++i) {
      const double xhat = (x[first + i] - mean[at]) * rstd;
      dx[first + i] =
          rstd * (dy[first + i] * gamma[dims.channel(group, i)] - sum / count - xhat * dot / count);
    }
  }
  write(args, 0, dx);
  write(args, 1, diff_gamma);
  write(args, 2, diff_beta);
}

/// The last `ndims` dimensions as one row.
struct Rows {
  int64_t count;
  int64_t size;
  Rows(const Shape& shape, int64_t ndims) {
    const int split = shape.rank() - static_cast<int>(ndims);
    count = product(shape, 0, split);
    size = product(shape, split, shape.rank());
  }
};

/// y[row] = f(row index, x); stores y.
template <class F>
void for_each_row(const KernelArgs& args, const Rows& rows, F f) {
  const Load<double> load = loader<double>(args.in_dtype(0));
  const Store<double> store = storer<double>(args.out_dtype());
  parallel_for(rows.count, grain_for(rows.size), [&](int64_t begin, int64_t end) {
    std::vector<double> x(static_cast<size_t>(rows.size)), y(x.size());
    for (int64_t row = begin; row < end; ++row) {
      load(args.in(0), row * rows.size, 1, rows.size, x.data());
      f(static_cast<size_t>(row), x, y);
      store(args.out(), row * rows.size, 1, rows.size, y.data());
    }
  });
}

void layer_norm(const KernelArgs& args) {
  const Rows rows(args.in_shape(0), args.node.attr_int("ndims"));
  const double eps = args.node.attr_float("eps");
  const std::vector<double> gamma = read(args, 1), beta = read(args, 2);
  std::vector<double> mean(static_cast<size_t>(rows.count)), rstd(mean.size());
  for_each_row(args, rows, [&](size_t row, const auto& x, std::vector<double>& y) {
    const Moments m = moments(x.data(), x.size());
    mean[row] = m.mean;
    rstd[row] = 1 / std::sqrt(m.var + eps);
    for (size_t i = 0; i < x.size(); ++i) y[i] = (x[i] - m.mean) * rstd[row] * gamma[i] + beta[i];
  });
  write(args, 1, mean);
  write(args, 2, rstd);
}

void rms_norm(const KernelArgs& args) {
  const Rows rows(args.in_shape(0), args.node.attr_int("ndims"));
  const double eps = args.node.attr_float("eps");
  const std::vector<double> gamma = read(args, 1);
  std::vector<double> rstd(static_cast<size_t>(rows.count));
  for_each_row(args, rows, [&](size_t row, const auto& x, std::vector<double>& y) {
    double squares = 0;
    for (double v : x) squares += v * v;
    rstd[row] = 1 / std::sqrt(squares / static_cast<double>(x.size()) + eps);
    for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] * rstd[row] * gamma[i];
  });
  write(args, 1, rstd);
}

/// Both gradients; an RMS norm is a layer norm whose mean is 0 and whose gradient is not centred.
void row_norm_backward(const KernelArgs& args, const std::vector<double>* mean,
                       const std::vector<double>& rstd) {
  const Rows rows(args.in_shape(1), args.node.attr_int("ndims"));
  const std::vector<double> src = read(args, 1), gamma = read(args, 2);
  const auto size = static_cast<size_t>(rows.size);
  const double count = static_cast<double>(size);
  for_each_row(args, rows, [&](size_t row, const auto& dy, std::vector<double>& dx) {
    const double* x = src.data() + row * size;
    const double center = mean ? (*mean)[row] : 0;
    double sum = 0, dot = 0;
    for (size_t i = 0; i < size; ++i) {
      sum += dy[i] * gamma[i];
      dot += dy[i] * gamma[i] * (x[i] - center) * rstd[row];
    }
    if (!mean) sum = 0;
    for (size_t i = 0; i < size; ++i)
      dx[i] =
          rstd[row] * (dy[i] * gamma[i] - sum / count - (x[i] - center) * rstd[row] * dot / count);
  });
  // By columns, so that threads own their sums.
  std::vector<double> diff_gamma(size), diff_beta(size);
  const Load<double> load = loader<double>(args.in_dtype(0));
  parallel_for(rows.size, grain_for(rows.count), [&](int64_t begin, int64_t end) {
    std::vector<double> dy(static_cast<size_t>(end - begin));
    for (int64_t row = 0; row < rows.count; ++row) {
      const auto r = static_cast<size_t>(row);
      load(args.in(0), row * rows.size + begin, 1, end - begin, dy.data());
      const double center = mean ? (*mean)[r] : 0;
      const double* x = src.data() + row * rows.size + begin;
      for (size_t i = 0; i < dy.size(); ++i) {
        diff_gamma[static_cast<size_t>(begin) + i] += dy[i] * (x[i] - center) * rstd[r];
        diff_beta[static_cast<size_t>(begin) + i] += dy[i];
      }
    }
  });
  write(args, 1, diff_gamma);
  if (mean) write(args, 2, diff_beta);
}

void layer_norm_backward(const KernelArgs& args) {
  const std::vector<double> mean = read(args, 3);
  row_norm_backward(args, &mean, read(args, 4));
}

void rms_norm_backward(const KernelArgs& args) { row_norm_backward(args, nullptr, read(args, 3)); }

}  // namespace

Kernel norm_kernel(Op op) {
  switch (op) {
    case Op::batch_norm_: return &batch_norm;
    case Op::batch_norm_backward_: return &batch_norm_backward;
    case Op::group_norm_: return &group_norm;
    case Op::group_norm_backward_: return &group_norm_backward;
    case Op::layer_norm_: return &layer_norm;
    case Op::layer_norm_backward_: return &layer_norm_backward;
    case Op::rms_norm_: return &rms_norm;
    case Op::rms_norm_backward_: return &rms_norm_backward;
    default: return nullptr;
  }
}

}  // namespace ds::ref
