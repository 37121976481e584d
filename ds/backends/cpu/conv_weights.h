// SPDX-License-Identifier: Apache-2.0
// The weights' gradient of a dense channels-last convolution, for processors where oneDNN's kernel
// for it is slow (docs/design/2026-11-25-conv-weights.md).
#pragma once

#include <memory>
#include <vector>

#include "ds/backends/cpu/dnnl/conv.h"
#include "ds/backends/cpu/kernels/outer_product.h"

namespace ds::cpu {

/// diff_weights [OC, IC, taps] = sum over pixels of diff_dst [OC] x the pixel's window of src.
///
/// Some hundred pixels at a time are packed: diff_dst once, and the lines of src that their windows
/// touch once for all taps, with zeros where the padding is. Taps then are nothing but other places
/// to begin in a packed line, whatever the stride and dilation, so no window is ever unfolded.
/// Where src has fewer channels than a panel, the taps along a line are taken as channels.
class ConvWeightsPlan {
 public:
  /// Null when the convolution has groups, another dtype than f32 or is not channels-last.
  static std::unique_ptr<ConvWeightsPlan> make(const ConvSpec& spec);

  size_t scratchpad_bytes() const;
  /// diff_weights is row-major.
  void execute(const float* src, const float* diff_dst, float* diff_weights,
               void* scratchpad) const;

 private:
  /// Pixels [first_w, first_w + width) of each of `lines` lines.
  struct Block {
    int64_t first_line, lines, first_w, width;
  };
  struct Part;

  void choose_blocks();
  void choose_split();
  int64_t sum_elements() const;
  int64_t padded_sums() const;  // so that copies begin on cache lines
  int64_t packed_rows() const;  // floats of a part
  int64_t packed_cols() const;
  int64_t col_panel() const;  // from one panel of columns to the next
  /// Adds the pixels of `blocks` for some panels of columns to `sums`.
  void accumulate(const Part& part) const;
  void pack_lines(const Block& block, const Part& part, std::vector<int64_t>& starts) const;
  void arrange(const float* sums, int64_t copies, float* diff_weights) const;

  // Sizes with three spatial dimensions, missing ones 1.
  int64_t batch_ = 1, ic_ = 1, oc_ = 1;
  int64_t src_[3], dst_[3], kernel_[3], stride_[3], padding_[3], dilation_[3];
  bool folded_ = false;   // taps along a line are channels
  int64_t channels_ = 1;  // columns: ic, times the taps along a line when folded
  int64_t line_taps_ = 1, width_taps_ = 1;
  int64_t row_panels_ = 1, col_panels_ = 1;
  std::vector<Block> blocks_;
  int64_t positions_ = 1, lines_kept_ = 1, block_pixels_ = 1;  // the most of any block
  int64_t col_parts_ = 1, pixel_parts_ = 1;                    // what threads divide among them
};

}  // namespace ds::cpu
