// SPDX-License-Identifier: Apache-2.0
#include "ds/hub/swin.h"

#include <algorithm>
#include <numeric>

#include "ds/base/error.h"
#include "ds/hub/transformer_block.h"
#include "ds/nn/init.h"
#include "ds/tensor/operators.h"
#include "ds/tensor/ops.h"

namespace ds::hub {
namespace {

int64_t rounded_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// [N, H, W, C] -> [N * windows, window^2, C].
Tensor to_windows(const Tensor& x, int64_t window) {
  const int64_t rows = x.size(1) / window, columns = x.size(2) / window, c = x.size(3);
  const Tensor split = reshape(x, {x.size(0), rows, window, columns, window, c});
  return reshape(permute(split, {0, 1, 3, 2, 4, 5}), {-1, window * window, c});
}

/// The inverse of to_windows() for images of height x width patches.
Tensor from_windows(const Tensor& x, int64_t window, int64_t height, int64_t width) {
  const int64_t c = x.size(2);
  const Tensor split = reshape(x, {-1, height / window, width / window, window, window, c});
  return reshape(permute(split, {0, 1, 3, 2, 4, 5}), {-1, height, width, c});
}

/// For each pair of patches of a window, the row of the table that holds their bias: i64
/// [window^4].
Tensor relative_positions(int64_t window) {
  std::vector<int64_t> rows;
  const int64_t area = window * window;
  for (int64_t from = 0; from < area; ++from)
    for (int64_t to = 0; to < area; ++to) {
      const int64_t dy = from / window - to / window, dx = from % window - to % window;
      rows.push_back((dy + window - 1) * (2 * window - 1) + dx + window - 1);
    }
  return tensor(rows);
}

/// Patches that a shift brought together from opposite borders do not see each other: 0 or -100,
/// [windows, window^2, window^2].
Tensor shift_mask(int64_t height, int64_t width, int64_t window, int64_t shift) {
  const auto region = [&](int64_t at, int64_t size) {
    return at < size - window ? 0 : at < size - shift ? 1 : 2;
  };
  std::vector<float> mask;
  const int64_t columns = width / window, count = height / window * columns;
  const int64_t area = window * window;
  for (int64_t w = 0; w < count; ++w) {
    std::vector<int> regions;
    for (int64_t p = 0; p < area; ++p)
      regions.push_back(3 * region(w / columns * window + p / window, height) +
                        region(w % columns * window + p % window, width));
    for (const int from : regions)
      for (const int to : regions) mask.push_back(from == to ? 0.0F : -100.0F);
  }
  return tensor(mask, Shape{count, area, area});
}

}  // namespace

void check_swin_sizes(const SwinSizes& s) {
  DS_CHECK(!s.depths.empty() && s.depths.size() == s.num_heads.size(), ValueError, s.model, ": ",
           s.depths.size(), " depths and ", s.num_heads.size(),
           " num_heads; one of each is expected for every stage");
  DS_CHECK(s.patch_size >= 1 && s.image_size >= s.patch_size && s.window_size >= 1, ValueError,
           s.model, ": ", s.image_key, " ", s.image_size, ", patch_size ", s.patch_size,
           " and window_size ", s.window_size, " must be positive, and a patch fit into an image");
  for (size_t i = 0; i < s.depths.size(); ++i) {
    const int64_t dim = s.embed_dim << i;
    DS_CHECK(s.num_heads[i] >= 1 && dim >= 1 && dim % s.num_heads[i] == 0, ValueError, s.model,
             ": ", s.num_heads[i], " heads do not divide the ", dim, " channels of stage ", i);
  }
}

SwinBlock::SwinBlock(const SwinBlockOptions& options, const SwinBlockNames& names)
    : options_(options), names_(names) {
  const SwinBlockOptions& o = options_;
  activate(o.activation, zeros({1}));  // an unknown one is told now
  const auto linear_at = [this](const char* name, int64_t in, int64_t out, bool with_bias = true) {
    add_at(*this, name, std::make_shared<nn::Linear>(in, out, with_bias));
  };
  add<nn::LayerNorm>(names_.attention_norm, Shape{o.dim}, o.eps);
  const auto table = std::make_shared<Group>();
  const int64_t offsets = 2 * o.window - 1;
  nn::init::trunc_normal_(table->register_parameter("relative_position_bias_table",
                                                    empty({offsets * offsets, o.heads})),
                          0.0, 0.02);
  table->register_buffer("relative_position_index", relative_positions(o.window), false);
  add_at(*this, names_.bias, table);
  if (names_.qkv) {
    linear_at(names_.qkv, o.dim, 3 * o.dim, o.qkv_bias);
  } else {
    for (const char* name : {names_.query, names_.key, names_.value})
      linear_at(name, o.dim, o.dim, o.qkv_bias);
  }
  linear_at(names_.out, o.dim, o.dim);
  if (o.shift > 0) {
    const int64_t side = rounded_up(o.size, o.window);
    register_buffer("attn_mask", shift_mask(side, side, o.window, o.shift), false);
  }
  add<nn::LayerNorm>(names_.mlp_norm, Shape{o.dim}, o.eps);
  const auto hidden = static_cast<int64_t>(static_cast<double>(o.dim) * o.mlp_ratio);
  linear_at(names_.up, o.dim, hidden);
  linear_at(names_.down, hidden, o.dim);
}

Tensor SwinBlock::bias(const std::optional<Tensor>& mask) {
  const nn::ModulePtr group = get_submodule(names_.bias);
  const int64_t area = options_.window * options_.window;
  const Tensor rows = index_select(group->parameter("relative_position_bias_table"), 0,
                                   group->buffer("relative_position_index"));
  const Tensor table = permute(reshape(rows, {area, area, options_.heads}), {2, 0, 1});
  return mask ? table + unsqueeze(to_dtype(*mask, table.dtype()), 1) : unsqueeze(table, 0);
}

Tensor SwinBlock::attend(const Tensor& windows, const std::optional<Tensor>& mask,
                         std::vector<Tensor>* weights) {
  std::vector<Tensor> parts;
  if (names_.qkv) {
    parts = chunk(call_at(*this, names_.qkv, windows), 3, -1);
  } else {
    for (const char* name : {names_.query, names_.key, names_.value})
      parts.push_back(call_at(*this, name, windows));
  }
  for (Tensor& part : parts) part = split_heads(part, options_.heads);
  Tensor added = bias(mask);
  if (mask) added = repeat(added, {windows.size(0) / mask->size(0), 1, 1, 1});
  const Attention attention{.dropout = is_training() ? options_.attention_dropout : 0.0,
                            .place = {.weights = weights},
                            .bias = added};
  const Tensor out = call_at(*this, names_.out, attention(parts[0], parts[1], parts[2]));
  return dropout(out, options_.dropout, is_training());
}

Tensor SwinBlock::windowed(const Tensor& x, std::vector<Tensor>* weights) {
  const SwinBlockOptions& o = options_;
  const int64_t rows = x.size(1), columns = x.size(2);
  const int64_t height = rounded_up(rows, o.window), width = rounded_up(columns, o.window);
  const bool bordered = height > rows || width > columns;
  const bool one_window = o.border_first && std::min(rows, columns) <= o.window;
  const int64_t shift = one_window ? 0 : o.shift;
  const auto with_border = [&](const Tensor& t) {
    return bordered ? pad(t, {0, 0, 0, width - columns, 0, height - rows}) : t;
  };
  const auto without_border = [&](const Tensor& t) {
    return bordered ? narrow(narrow(t, 1, 0, rows), 2, 0, columns) : t;
  };
  const auto moved = [&](const Tensor& t, int64_t by) {
    return shift > 0 ? roll(t, {by, by}, {1, 2}) : t;
  };
  std::optional<Tensor> mask;
  if (shift > 0) {
    const bool usual = rows == o.size && columns == o.size;
    mask = usual ? buffer("attn_mask")
                 : to_device(shift_mask(height, width, o.window, shift), x.device());
  }
  const Tensor y = o.border_first ? moved(with_border(x), -shift) : with_border(moved(x, -shift));
  const Tensor seen =
      from_windows(attend(to_windows(y, o.window), mask, weights), o.window, height, width);
  return o.border_first ? without_border(moved(seen, shift)) : moved(without_border(seen), shift);
}

Tensor SwinBlock::forward(const Tensor& x, std::vector<Tensor>* weights) {
  const SwinBlockOptions& o = options_;
  const auto kept = [&](const Tensor& y) { return drop_path(y, o.drop_path, is_training()); };
  const Tensor y = x + kept(windowed(call_at(*this, names_.attention_norm, x), weights));
  const Tensor wide =
      activate(o.activation, call_at(*this, names_.up, call_at(*this, names_.mlp_norm, y)));
  const Tensor made = dropout(call_at(*this, names_.down, wide), o.dropout, is_training());
  return y + (o.border_first ? made : kept(made));
}

PatchMerging::PatchMerging(int64_t dim) {
  add<nn::LayerNorm>("norm", Shape{4 * dim});
  add<nn::Linear>("reduction", 4 * dim, 2 * dim, false);
}

Tensor PatchMerging::forward(const Tensor& x) {
  const Tensor even =
      x.size(1) % 2 || x.size(2) % 2 ? pad(x, {0, 0, 0, x.size(2) % 2, 0, x.size(1) % 2}) : x;
  const int64_t h = even.size(1) / 2, w = even.size(2) / 2, c = even.size(3);
  // Of the four patches, those of one column follow each other.
  const Tensor split = permute(reshape(even, {x.size(0), h, 2, w, 2, c}), {0, 1, 3, 4, 2, 5});
  return (*child("reduction"))((*child("norm"))(reshape(split, {x.size(0), h, w, 4 * c})));
}

Tensor SwinStage::forward(const Tensor& x) {
  return (*child("blocks"))(has_child("downsample") ? (*child("downsample"))(x) : x);
}

SwinTransformer::SwinTransformer(const SwinConfig& config) : config_(config) {
  check_image_model("SwinTransformer", config.in_channels, config.num_classes);
  check_swin_sizes({"SwinTransformer", "img_size", config.img_size, config.patch_size,
                    config.window_size, config.embed_dim, config.depths, config.num_heads});
  const SwinConfig& c = config_;
  nn::ConvOptions patches{c.in_channels, c.embed_dim, c.patch_size};
  patches.stride = c.patch_size;
  add_at(*this, "patch_embed.proj", std::make_shared<nn::Conv2d>(patches));
  add_at(*this, "patch_embed.norm", std::make_shared<nn::LayerNorm>(Shape{c.embed_dim}));
  add_stages();
  const int64_t last = c.embed_dim << (c.depths.size() - 1);
  add<nn::LayerNorm>("norm", Shape{last});
  init_weights(*this, 0.02);
  add_at(*this, "head.fc", classifier(last, c.num_classes));
}

void SwinTransformer::add_stages() {
  const SwinConfig& c = config_;
  const auto layers = add<nn::Sequential>("layers");
  const int64_t count = std::accumulate(c.depths.begin(), c.depths.end(), int64_t{0});
  int64_t size = c.img_size / c.patch_size, index = 0;
  for (size_t i = 0; i < c.depths.size(); ++i) {
    const auto stage = std::make_shared<SwinStage>();
    if (i > 0) {
      stage->add<PatchMerging>("downsample", c.embed_dim << (i - 1));
      size = (size + 1) / 2;
    }
    const auto blocks = stage->add<nn::Sequential>("blocks");
    const int64_t window = std::min(size, c.window_size);
    for (int64_t b = 0; b < c.depths[i]; ++b, ++index)
      blocks->append(std::make_shared<SwinBlock>(
          SwinBlockOptions{.dim = c.embed_dim << i,
                           .heads = c.num_heads[i],
                           .size = size,
                           .window = window,
                           // Every second block, where there is more than one window.
                           .shift = b % 2 == 1 && size > window ? c.window_size / 2 : 0,
                           .mlp_ratio = c.mlp_ratio,
                           .attention_dropout = c.attn_drop_rate,
                           .drop_path = drop_path_rate_of(c.drop_path_rate, index, count)}));
    layers->append(stage);
  }
}

Tensor SwinTransformer::forward(const Tensor& x) {
  const SwinConfig& c = config_;
  check_images("SwinTransformer", x, c.in_channels);
  DS_CHECK(x.size(2) == c.img_size && x.size(3) == c.img_size, ShapeError,
           "SwinTransformer: the images ", x.type(), " must have ", c.img_size, "x", c.img_size,
           " pixels; resize them, or make the model with another img_size");
  Tensor y = permute(call_at(*this, "patch_embed.proj", x), {0, 2, 3, 1});
  y = (*child("layers"))(call_at(*this, "patch_embed.norm", y));
  y = mean((*child("norm"))(y), Dims{1, 2});
  return call_at(*this, "head.fc", dropout(y, c.drop_rate, is_training()));
}

const NamedSizes<SwinConfig>& swins() {
  const auto swin = [](int64_t dim, int64_t third, int64_t heads, int64_t window, int64_t image) {
    return SwinConfig{.img_size = image,
                      .embed_dim = dim,
                      .depths = {2, 2, third, 2},
                      .num_heads = {heads, 2 * heads, 4 * heads, 8 * heads},
                      .window_size = window};
  };
  static const NamedSizes<SwinConfig> sizes = {
      {"swin_tiny_patch4_window7_224", swin(96, 6, 3, 7, 224)},
      {"swin_small_patch4_window7_224", swin(96, 18, 3, 7, 224)},
      {"swin_base_patch4_window7_224", swin(128, 18, 4, 7, 224)},
      {"swin_base_patch4_window12_384", swin(128, 18, 4, 12, 384)},
      {"swin_large_patch4_window7_224", swin(192, 18, 6, 7, 224)},
      {"swin_large_patch4_window12_384", swin(192, 18, 6, 12, 384)},
  };
  return sizes;
}

}  // namespace ds::hub
