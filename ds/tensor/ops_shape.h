// SPDX-License-Identifier: Apache-2.0
// Shapes: views that alias their input (reshape included), joins, splits, copies in another order.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ds/tensor/arguments.h"
#include "ds/tensor/record.h"

namespace ds {

// --- views: writes through them show in the input ------------------------------------------------
/// The elements in row-major order under another shape; one size may be -1. Always a view.
Tensor reshape(const Tensor& input, const Shape& shape);
/// reshape.
Tensor view(const Tensor& input, const Shape& shape);
/// Dimensions start_dim to end_dim merged into one.
Tensor flatten(const Tensor& input, int64_t start_dim = 0, int64_t end_dim = -1);
/// Dimension dim split into `sizes`, one of which may be -1.
Tensor unflatten(const Tensor& input, int64_t dim, const Shape& sizes);
/// Without the dimensions of size 1, or without those of `dim` that have size 1.
Tensor squeeze(const Tensor& input, const Dims& dim = {});
/// A dimension of size 1 at dim.
Tensor unsqueeze(const Tensor& input, int64_t dim);
/// Two dimensions exchanged.
Tensor transpose(const Tensor& input, int64_t dim0, int64_t dim1);
/// transpose.
Tensor swapaxes(const Tensor& input, int64_t axis0, int64_t axis1);
/// Output dimension i is input dimension dims[i].
Tensor permute(const Tensor& input, const Shape& dims);
/// Dimensions source[i] moved to the places destination[i].
Tensor movedim(const Tensor& input, const Shape& source, const Shape& destination);
/// Dimension source moved to the place destination.
Tensor movedim(const Tensor& input, int64_t source, int64_t destination);
/// Transpose of a matrix; tensors below 2-d stay as they are.
Tensor t(const Tensor& input);
/// Last two dimensions exchanged.
Tensor mT(const Tensor& input);
/// All dimensions in reverse order (x.T).
Tensor reverse_dims(const Tensor& input);
/// Broadcast to sizes; -1 keeps a size.
Tensor expand(const Tensor& input, const Shape& sizes);
/// Broadcast to other's shape.
Tensor expand_as(const Tensor& input, const Tensor& other);
/// Broadcast to shape.
Tensor broadcast_to(const Tensor& input, const Shape& shape);
/// All tensors broadcast to one shape.
std::vector<Tensor> broadcast_tensors(const std::vector<Tensor>& tensors);
/// `length` slices along dim from start on.
Tensor narrow(const Tensor& input, int64_t dim, int64_t start, int64_t length);
/// The index-th slice along dim; dim disappears.
Tensor select(const Tensor& input, int64_t dim, int64_t index);
/// Every step-th slice along dim of [start, end), with Python's slice rules; step is positive.
Tensor slice(const Tensor& input, int64_t dim = 0, std::optional<int64_t> start = std::nullopt,
             std::optional<int64_t> end = std::nullopt, int64_t step = 1);
/// The diagonal of dimensions dim1 and dim2 as the last dimension.
Tensor diagonal(const Tensor& input, int64_t offset = 0, int64_t dim1 = 0, int64_t dim2 = 1);
/// Windows of `size` every `step` along dimension; the window is the last dimension.
Tensor unfold(const Tensor& input, int64_t dimension, int64_t size, int64_t step);
/// View of the row-major elements by sizes, strides and offset (in elements).
Tensor as_strided(const Tensor& input, const Shape& size, const Shape& stride,
                  int64_t storage_offset = 0);
/// Pieces of split_size along dim, the last one smaller.
std::vector<Tensor> split(const Tensor& input, int64_t split_size, int64_t dim = 0);
/// Pieces of the given sizes along dim.
std::vector<Tensor> split_with_sizes(const Tensor& input, const std::vector<int64_t>& split_sizes,
                                     int64_t dim = 0);
/// At most `chunks` pieces of equal size along dim, the last one smaller.
std::vector<Tensor> chunk(const Tensor& input, int64_t chunks, int64_t dim = 0);
/// `sections` pieces along dim, the first ones larger by one where it does not divide.
std::vector<Tensor> tensor_split(const Tensor& input, int64_t sections, int64_t dim = 0);
/// Pieces along dim cut before each of the indices.
std::vector<Tensor> tensor_split_indices(const Tensor& input, const std::vector<int64_t>& indices,
                                         int64_t dim = 0);
/// tensor_split along columns (dimension 1; 0 for 1-d).
std::vector<Tensor> hsplit(const Tensor& input, int64_t sections);
/// tensor_split along rows.
std::vector<Tensor> vsplit(const Tensor& input, int64_t sections);
/// tensor_split along dimension 2.
std::vector<Tensor> dsplit(const Tensor& input, int64_t sections);
/// All slices along dim.
std::vector<Tensor> unbind(const Tensor& input, int64_t dim = 0);
/// A 0-d tensor as [1]; others as they are.
Tensor atleast_1d(const Tensor& input);
/// At least two dimensions, new ones in front.
Tensor atleast_2d(const Tensor& input);
/// At least three dimensions: [N] becomes [1, N, 1], [M, N] becomes [M, N, 1].
Tensor atleast_3d(const Tensor& input);
/// 1-d tensors (and 0-d) as coordinate grids; indexing "ij" or "xy".
std::vector<Tensor> meshgrid(const std::vector<Tensor>& tensors,
                             const std::string& indexing = "ij");

// --- new tensors ---------------------------------------------------------------------------------
/// input itself when its elements lie row-major in its storage, else a copy.
Tensor contiguous(const Tensor& input);
/// A copy, through which gradients flow.
Tensor clone(const Tensor& input);
/// The tensor copied `repeats` times along each dimension; new dimensions come in front.
Tensor repeat(const Tensor& input, const Shape& repeats);
/// repeat with as many leading ones as are missing in dims.
Tensor tile(const Tensor& input, const Shape& dims);
/// Every slice along dim (of the flattened tensor without one) repeated.
Tensor repeat_interleave(const Tensor& input, int64_t repeats,
                         std::optional<int64_t> dim = std::nullopt);
/// The i-th slice repeated repeats[i] times; computes.
Tensor repeat_interleave(const Tensor& input, const Tensor& repeats,
                         std::optional<int64_t> dim = std::nullopt);
/// Tensors joined along dim; dtypes promote, 1-d empty tensors are skipped.
Tensor cat(const std::vector<Tensor>& tensors, int64_t dim = 0);
/// Tensors of one shape joined along a new dimension.
Tensor stack(const std::vector<Tensor>& tensors, int64_t dim = 0);
/// cat along dimension 1 (0 for 1-d).
Tensor hstack(const std::vector<Tensor>& tensors);
/// cat of rows.
Tensor vstack(const std::vector<Tensor>& tensors);
/// cat along dimension 2.
Tensor dstack(const std::vector<Tensor>& tensors);
/// Columns joined: 0-d and 1-d tensors become columns.
Tensor column_stack(const std::vector<Tensor>& tensors);
/// Matrices on the diagonal of a larger one.
Tensor block_diag(const std::vector<Tensor>& tensors);
/// All combinations of the elements of 1-d tensors, one a row.
Tensor cartesian_prod(const std::vector<Tensor>& tensors);
/// Reversed along dims.
Tensor flip(const Tensor& input, const Dims& dims);
/// Columns reversed (dimension 1).
Tensor fliplr(const Tensor& input);
/// Rows reversed (dimension 0).
Tensor flipud(const Tensor& input);
/// Moved around by shifts along dims, or in the flattened tensor without dims.
Tensor roll(const Tensor& input, const Shape& shifts, const Shape& dims = {});
/// Rotated k times by 90 degrees from dims[0] towards dims[1].
Tensor rot90(const Tensor& input, int64_t k = 1, const Shape& dims = {0, 1});
/// Zero above the diagonal-th diagonal of the last two dimensions.
Tensor tril(const Tensor& input, int64_t diagonal = 0);
/// Zero below the diagonal-th diagonal of the last two dimensions.
Tensor triu(const Tensor& input, int64_t diagonal = 0);
/// A matrix with a 1-d input on its diagonal, or the diagonal of a matrix.
Tensor diag(const Tensor& input, int64_t diagonal = 0);
/// diag_embed of the flattened input.
Tensor diagflat(const Tensor& input, int64_t offset = 0);
/// The last dimension on the diagonal of new dimensions dim1 and dim2.
Tensor diag_embed(const Tensor& input, int64_t offset = 0, int64_t dim1 = -2, int64_t dim2 = -1);
/// input with the slice of `src`'s shape along dim replaced.
Tensor slice_scatter(const Tensor& input, const Tensor& src, int64_t dim = 0,
                     std::optional<int64_t> start = std::nullopt,
                     std::optional<int64_t> end = std::nullopt, int64_t step = 1);
/// input with the index-th slice along dim replaced by src.
Tensor select_scatter(const Tensor& input, const Tensor& src, int64_t dim, int64_t index);
/// input with the diagonal of dimensions dim1 and dim2 replaced by src, of the diagonal's shape.
Tensor diagonal_scatter(const Tensor& input, const Tensor& src, int64_t offset = 0,
                        int64_t dim1 = 0, int64_t dim2 = 1);
/// input with the elements of as_strided(input, size, stride, storage_offset) replaced by src.
Tensor as_strided_scatter(const Tensor& input, const Tensor& src, const Shape& size,
                          const Shape& stride, int64_t storage_offset = 0);
/// Writes value on the main diagonal of a matrix (again after every gap of one row in a tall one
/// with wrap), or of a cube of any rank; returns input.
Tensor fill_diagonal(const Tensor& input, const Operand& value, bool wrap = false);
/// input summed down to `size`, which broadcasts to input's shape.
Tensor sum_to_size(const Tensor& input, const Shape& size);
/// All choices of r elements of a 1-d input in order, one a row; with_replacement repeats elements.
Tensor combinations(const Tensor& input, int64_t r = 2, bool with_replacement = false);
/// Borders added from the last dimension backwards, two numbers a dimension: mode constant,
/// reflect, replicate or circular; negative numbers cut.
Tensor pad(const Tensor& input, const Shape& pad, const std::string& mode = "constant",
           double value = 0);
/// [..., C r^2, H, W] -> [..., C, H r, W r] (Shi et al. 2016).
Tensor pixel_shuffle(const Tensor& input, int64_t upscale_factor);
/// [..., C, H r, W r] -> [..., C r^2, H, W].
Tensor pixel_unshuffle(const Tensor& input, int64_t downscale_factor);
/// Channels of [N, C, ...] dealt out over groups (ShuffleNet).
Tensor channel_shuffle(const Tensor& input, int64_t groups);
/// Windows of images as columns: [N, C, H, W] -> [N, C kh kw, L]; torch.nn.functional.unfold.
Tensor im2col(const Tensor& input, const PerDim& kernel_size, const PerDim& dilation = 1,
              const PerDim& padding = 0, const PerDim& stride = 1);
/// Columns summed back into images: [N, C kh kw, L] -> [N, C, H, W]; torch.nn.functional.fold.
Tensor col2im(const Tensor& input, const PerDim& output_size, const PerDim& kernel_size,
              const PerDim& dilation = 1, const PerDim& padding = 0, const PerDim& stride = 1);

}  // namespace ds
