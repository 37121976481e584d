// SPDX-License-Identifier: Apache-2.0
#include "ds/backends/cpu/conv_weights.h"

#include <algorithm>
#include <cstring>

#include "ds/base/error.h"
#include "ds/base/parallel.h"
#include "ds/runtime/arena.h"

namespace ds::cpu {
namespace {

// 256 pixels: a panel of columns (16 KiB) and one of rows (6 KiB) fit the first-level cache, and
// the sums in between, read and written once a block, cost a few percent of the arithmetic.
constexpr int64_t kBlockPixels = 256;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

size_t float_bytes(int64_t count) { return align_up(static_cast<size_t>(count) * sizeof(float)); }

}  // namespace

int64_t ConvWeightsPlan::sum_elements() const {
  return col_panels_ * row_panels_ * line_taps_ * width_taps_ * kOuterRows * kOuterCols;
}

int64_t ConvWeightsPlan::padded_sums() const { return divide_up(sum_elements(), 16) * 16; }

int64_t ConvWeightsPlan::packed_rows() const {
  return row_panels_ * (block_pixels_ * kOuterRows + kOuterSlack);
}

/// Not a power of two: panels are written side by side and must not share the sets of a cache.
int64_t ConvWeightsPlan::col_panel() const { return (lines_kept_ * positions_ + 1) * kOuterCols; }

int64_t ConvWeightsPlan::packed_cols() const {
  return divide_up(col_panels_, col_parts_) * col_panel();
}

/// What one thread works on, and with.
struct ConvWeightsPlan::Part {
  const float* src;
  const float* diff_dst;
  int64_t first_block, last_block;
  int64_t first_panel, last_panel;  // of columns
  float* rows;
  float* cols;
  float* sums;  // of all panels of columns
};

std::unique_ptr<ConvWeightsPlan> ConvWeightsPlan::make(const ConvSpec& spec) {
  if (spec.groups != 1 || spec.src.dtype != DType::f32 || spec.dst.dtype != DType::f32 ||
      spec.weights_dtype != DType::f32 || !is_channels_last(spec.src) ||
      !is_channels_last(spec.dst))
    return nullptr;
  auto made = std::make_unique<ConvWeightsPlan>();
  ConvWeightsPlan& p = *made;
  p.batch_ = spec.src.dims[0];
  p.ic_ = spec.src.dims[1];
  p.oc_ = spec.dst.dims[1];
  const int missing = 5 - spec.src.dims.rank();
  bool plain = true;  // every window is its pixel
  for (int i = 0; i < 3; ++i) {
    const int s = i - missing;
    p.src_[i] = s < 0 ? 1 : spec.src.dims[s + 2];
    p.dst_[i] = s < 0 ? 1 : spec.dst.dims[s + 2];
    p.kernel_[i] = s < 0 ? 1 : spec.weights[s + 2];
    p.stride_[i] = s < 0 ? 1 : spec.stride[s];
    p.padding_[i] = s < 0 ? 0 : spec.padding[s];
    p.dilation_[i] = s < 0 ? 1 : spec.dilation[s];
    plain = plain && p.kernel_[i] == 1 && p.stride_[i] == 1 && p.src_[i] == p.dst_[i];
  }
  if (plain) {  // one long line
    p.src_[2] = p.dst_[2] = p.batch_ * p.src_[0] * p.src_[1] * p.src_[2];
    p.batch_ = p.src_[0] = p.src_[1] = p.dst_[0] = p.dst_[1] = 1;
  }
  p.folded_ = p.ic_ < kOuterCols && p.kernel_[2] > 1 && p.dilation_[2] == 1;
  p.channels_ = p.folded_ ? p.ic_ * p.kernel_[2] : p.ic_;
  p.line_taps_ = p.kernel_[0] * p.kernel_[1];
  p.width_taps_ = p.folded_ ? 1 : p.kernel_[2];
  p.row_panels_ = divide_up(p.oc_, kOuterRows);
  p.col_panels_ = divide_up(p.channels_, kOuterCols);
  p.choose_blocks();
  p.choose_split();
  return made;
}

void ConvWeightsPlan::choose_blocks() {
  const int64_t lines = batch_ * dst_[0] * dst_[1], pieces = divide_up(dst_[2], kBlockPixels);
  const int64_t width = divide_up(dst_[2], pieces);
  const int64_t most = std::max<int64_t>(1, kBlockPixels / width);
  const int64_t count = divide_up(lines, most), height = divide_up(lines, count);
  for (int64_t w = 0; w < dst_[2]; w += width)
    for (int64_t line = 0; line < lines; line += height)
      blocks_.push_back({line, std::min(height, lines - line), w, std::min(width, dst_[2] - w)});
  block_pixels_ = height * width;
  positions_ = folded_ ? width : (width - 1) * stride_[2] + (kernel_[2] - 1) * dilation_[2] + 1;
  // Lines of one plane share what they read; the first kept line is all zeros.
  const int64_t planes = divide_up(height, dst_[1]) + 1;
  const int64_t shared =
      kernel_[0] * (height * stride_[1] + planes * ((kernel_[1] - 1) * dilation_[1] + 1));
  lines_kept_ = 1 + std::min(height * line_taps_, shared);
}

/// Threads divide the columns when there are many (each then packs all of diff_dst), else the
/// pixels (each then has sums of its own): whichever repeats less.
void ConvWeightsPlan::choose_split() {
  const int64_t threads = num_threads();
  const int64_t pixels = batch_ * dst_[0] * dst_[1] * dst_[2];
  const bool by_columns = col_panels_ >= threads && pixels * oc_ < 2 * sum_elements();
  col_parts_ = by_columns ? threads : 1;
  pixel_parts_ = by_columns ? 1 : std::min(threads, static_cast<int64_t>(blocks_.size()));
}

size_t ConvWeightsPlan::scratchpad_bytes() const {
  return static_cast<size_t>(col_parts_ * pixel_parts_) *
             (float_bytes(packed_rows()) + float_bytes(packed_cols())) +
         float_bytes(pixel_parts_ * padded_sums());
}

/// Packs the lines of src that the block's windows touch, each once, and says where each of its
/// lines begins for each tap.
void ConvWeightsPlan::pack_lines(const Block& block, const Part& part,
                                 std::vector<int64_t>& starts) const {
  const int64_t line_size = positions_ * kOuterCols, panel_stride = col_panel();
  const int64_t first_channel = part.first_panel * kOuterCols;
  const int64_t channels = std::min(channels_, part.last_panel * kOuterCols) - first_channel;
  const int64_t step = folded_ ? stride_[2] * ic_ : ic_;
  const int64_t first = (block.first_w * stride_[2] - padding_[2]) * ic_ + first_channel;
  const int64_t positions =
      folded_ ? block.width : (block.width - 1) * stride_[2] + (kernel_[2] - 1) * dilation_[2] + 1;
  starts.assign(static_cast<size_t>(line_taps_ * block.lines), 0);
  std::vector<std::pair<int64_t, int64_t>> needed;  // line of src, position in starts
  for (int64_t l = 0; l < block.lines; ++l) {
    const int64_t line = block.first_line + l;
    const int64_t h0 = line % dst_[1] * stride_[1] - padding_[1];
    const int64_t d0 = line / dst_[1] % dst_[0] * stride_[0] - padding_[0];
    const int64_t image = line / (dst_[1] * dst_[0]);
    for (int64_t kd = 0; kd < kernel_[0]; ++kd)
      for (int64_t kh = 0; kh < kernel_[1]; ++kh) {
        const int64_t d = d0 + kd * dilation_[0], h = h0 + kh * dilation_[1];
        if (d < 0 || d >= src_[0] || h < 0 || h >= src_[1]) continue;  // stays the line of zeros
        needed.emplace_back((image * src_[0] + d) * src_[1] + h,
                            (kd * kernel_[1] + kh) * block.lines + l);
      }
  }
  std::sort(needed.begin(), needed.end());
  int64_t kept = 0, before = -1;
  for (const auto& [line, position] : needed) {
    if (line != before) {
      before = line;
      ++kept;
      pack_outer_cols(part.src + line * src_[2] * ic_, src_[2] * ic_, first, step, positions,
                      channels, panel_stride, part.cols + kept * line_size);
    }
    starts[static_cast<size_t>(position)] = kept * line_size;
  }
  DS_ASSERT(kept < lines_kept_, "conv_weights: ", kept, " lines in room for ", lines_kept_);
}

void ConvWeightsPlan::accumulate(const Part& part) const {
  const int64_t line_size = positions_ * kOuterCols, panel_stride = col_panel();
  const int64_t panels = part.last_panel - part.first_panel;
  const int64_t sums_of_panel = sum_elements() / col_panels_;
  float* sums = part.sums + part.first_panel * sums_of_panel;
  std::fill_n(sums, panels * sums_of_panel, 0.0f);
  for (int64_t p = 0; p < panels; ++p) std::fill_n(part.cols + p * panel_stride, line_size, 0.0f);
  std::vector<int64_t> starts;
  for (int64_t i = part.first_block; i < part.last_block; ++i) {
    const Block& block = blocks_[static_cast<size_t>(i)];
    const int64_t row_stride = block.lines * block.width * kOuterRows + kOuterSlack;
    const float* pixels = part.diff_dst + (block.first_line * dst_[2] + block.first_w) * oc_;
    if (block.width == dst_[2])  // lines follow one another
      pack_outer_rows(pixels, block.lines * block.width, oc_, oc_, row_stride, part.rows);
    else
      for (int64_t l = 0; l < block.lines; ++l)
        pack_outer_rows(pixels + l * dst_[2] * oc_, block.width, oc_, oc_, row_stride,
                        part.rows + l * block.width * kOuterRows);
    pack_lines(block, part, starts);
    add_outer_products({part.rows, part.cols, row_stride, panel_stride, row_panels_, panels,
                        block.lines, block.width, starts.data(), line_taps_, width_taps_,
                        dilation_[2] * kOuterCols, folded_ ? kOuterCols : stride_[2] * kOuterCols,
                        sums});
  }
}

/// From panels to [OC, IC, taps], adding up the copies.
void ConvWeightsPlan::arrange(const float* sums, int64_t copies, float* diff_weights) const {
  const int64_t tile = kOuterRows * kOuterCols, all_taps = line_taps_ * kernel_[2];
  const int64_t taps = line_taps_ * width_taps_, copy_size = padded_sums();
  std::vector<int64_t> col_offset, tap_offset;  // in the weights of one output channel
  for (int64_t col = 0; col < channels_; ++col)
    col_offset.push_back(col % ic_ * all_taps + col / ic_);
  for (int64_t tap = 0; tap < taps; ++tap)
    tap_offset.push_back(tap / width_taps_ * kernel_[2] + tap % width_taps_);
  const auto arrange_panel = [&](const float* from, int64_t panel, float* to) {
    const int64_t first = panel * kOuterCols, count = std::min(kOuterCols, channels_ - first);
    for (int64_t tap = 0; tap < taps; ++tap)
      for (int64_t j = 0; j < count; ++j) {
        const float* value = from + tap * tile + j;
        float sum = *value;
        for (int64_t copy = 1; copy < copies; ++copy) sum += value[copy * copy_size];
        to[col_offset[static_cast<size_t>(first + j)] + tap_offset[static_cast<size_t>(tap)]] = sum;
      }
  };
  parallel_for(oc_, std::max<int64_t>(1, 8192 / (ic_ * all_taps)), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o)
      for (int64_t panel = 0; panel < col_panels_; ++panel)
        arrange_panel(sums + (panel * row_panels_ + o / kOuterRows) * taps * tile +
                          o % kOuterRows * kOuterCols,
                      panel, diff_weights + o * ic_ * all_taps);
  });
}

void ConvWeightsPlan::execute(const float* src, const float* diff_dst, float* diff_weights,
                              void* scratchpad) const {
  char* memory = static_cast<char*>(scratchpad);
  const auto take = [&memory](int64_t count) {
    auto* taken = reinterpret_cast<float*>(memory);
    memory += float_bytes(count);
    return taken;
  };
  std::vector<Part> parts;
  const auto blocks = static_cast<int64_t>(blocks_.size());
  float* const sums = take(pixel_parts_ * padded_sums());
  for (int64_t p = 0; p < pixel_parts_; ++p)
    for (int64_t c = 0; c < col_parts_; ++c)
      parts.push_back({src, diff_dst, blocks * p / pixel_parts_, blocks * (p + 1) / pixel_parts_,
                       col_panels_ * c / col_parts_, col_panels_ * (c + 1) / col_parts_,
                       take(packed_rows()), take(packed_cols()), sums + p * padded_sums()});
  parallel_for(static_cast<int64_t>(parts.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) accumulate(parts[static_cast<size_t>(i)]);
  });
  arrange(sums, pixel_parts_, diff_weights);
}

}  // namespace ds::cpu
