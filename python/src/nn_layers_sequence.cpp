// SPDX-License-Identifier: Apache-2.0
// Recurrent, attention and transformer layers.
#include "ds/base/error.h"
#include "ds/nn/layers_attention.h"
#include "ds/nn/layers_rnn.h"
#include "nn_layers.h"

namespace {

using namespace ds::nn;
using ds::CellKind;
using ds::Tensor;

using Hidden = std::optional<RecurrentState>;

/// hx: a tensor, or for an LSTM a pair.
Hidden state_of(nb::handle given, bool pair, const char* name) {
  if (given.is_none()) return std::nullopt;
  if (!pair) return RecurrentState{nb::cast<Tensor>(given), {}};
  if (!nb::isinstance<nb::sequence>(given) || nb::len(given) != 2)
    throw nb::type_error((std::string(name) + ": hx must be a pair (h_0, c_0)").c_str());
  return RecurrentState{nb::cast<Tensor>(given[0]), nb::cast<Tensor>(given[1])};
}

Hidden layer_state(const Recurrent& self, nb::handle given) {
  return state_of(given, self.kind() == CellKind::lstm, "LSTM");
}

nb::object state_object(const RecurrentState& state, bool pair) {
  return pair ? nb::object(nb::make_tuple(state.h, state.c)) : nb::cast(state.h);
}

/// A layer's output and last state as Python sees them.
nb::object outputs_object(const Recurrent& self, const std::pair<Tensor, RecurrentState>& outputs) {
  return nb::make_tuple(outputs.first, state_object(outputs.second, self.kind() == CellKind::lstm));
}

template <class T>
void add_recurrent(LayerClass<T>& layer) {
  const auto option = [&](const char* name, auto member) {
    using V = std::remove_reference_t<decltype(std::declval<RecurrentOptions&>().*member)>;
    layer.property(
        name, [member](const T& self) { return self.options().*member; },
        [member](T& self, V value) { self.options().*member = value; });
  };
  option("input_size", &RecurrentOptions::input_size);
  option("hidden_size", &RecurrentOptions::hidden_size);
  option("num_layers", &RecurrentOptions::num_layers);
  option("bias", &RecurrentOptions::bias);
  option("batch_first", &RecurrentOptions::batch_first);
  option("dropout", &RecurrentOptions::dropout);
  option("bidirectional", &RecurrentOptions::bidirectional);
  option("proj_size", &RecurrentOptions::proj_size);
  layer.def("flatten_parameters", [](T&) {});
  layer.def(
      "forward",
      [](T& self, nb::handle input, nb::object hx) -> nb::object {
        if (nb::hasattr(input, "batch_sizes"))
          return nb::module_::import_("deepseek.nn.utils.rnn")
              .attr("run_packed")(module_to_python(self.shared_from_this()), input, hx);
        return outputs_object(self, self.forward(nb::cast<Tensor>(input), layer_state(self, hx)));
      },
      "input"_a, "hx"_a = nb::none());
  layer.def(
      "_forward_packed",
      [](T& self, const Tensor& x, const std::vector<int64_t>& sizes, nb::object hx) {
        return outputs_object(self, self.forward_packed(x, sizes, layer_state(self, hx)));
      },
      "input"_a, "sizes"_a, "hx"_a.none());
}

template <class T>
void add_cell(LayerClass<T>& layer) {
  layer.field("input_size", &RecurrentCell::input_size);
  layer.field("hidden_size", &RecurrentCell::hidden_size);
  layer.argument("bias", [](const T& self) { return self.parameter("bias_ih").defined(); });
  layer.def(
      "forward",
      [](T& self, const Tensor& x, nb::object hx) {
        const bool pair = self.kind() == CellKind::lstm;
        return state_object(self.forward(x, state_of(hx, pair, "LSTMCell")), pair);
      },
      "input"_a, "hx"_a = nb::none());
}

std::string nonlinearity_of(CellKind kind) { return kind == CellKind::rnn_relu ? "relu" : "tanh"; }

void bind_recurrent(nb::module_& m) {
  make_class(m, "RNNBase", module_class(), "Base of RNN, LSTM and GRU.");
  make_class(m, "RNNCellBase", module_class(), "Base of their cells.");
  LayerClass<RNN> rnn(m, "RNN", m.attr("RNNBase"), "Elman network with tanh or ReLU.");
  rnn.factory(
         [](int64_t in, int64_t hidden, int64_t layers, std::string nonlinearity, bool bias,
            bool batch_first, double dropout, bool both) {
           return std::make_shared<RNN>(
               RecurrentOptions{in, hidden, layers, bias, batch_first, dropout, both, 0},
               nonlinearity);
         },
         "input_size"_a, "hidden_size"_a, "num_layers"_a = 1, "nonlinearity"_a = "tanh",
         "bias"_a = true, "batch_first"_a = false, "dropout"_a = 0.0, "bidirectional"_a = false)
      .property("nonlinearity", [](const RNN& self) { return nonlinearity_of(self.kind()); });
  add_recurrent(rnn);
  LayerClass<LSTM> lstm(m, "LSTM", m.attr("RNNBase"), "Long short-term memory.");
  lstm.factory(
      [](int64_t in, int64_t hidden, int64_t layers, bool bias, bool batch_first, double dropout,
         bool both, int64_t proj) {
        return std::make_shared<LSTM>(
            RecurrentOptions{in, hidden, layers, bias, batch_first, dropout, both, proj});
      },
      "input_size"_a, "hidden_size"_a, "num_layers"_a = 1, "bias"_a = true, "batch_first"_a = false,
      "dropout"_a = 0.0, "bidirectional"_a = false, "proj_size"_a = 0);
  add_recurrent(lstm);
  LayerClass<GRU> gru(m, "GRU", m.attr("RNNBase"), "Gated recurrent unit.");
  gru.factory(
      [](int64_t in, int64_t hidden, int64_t layers, bool bias, bool batch_first, double dropout,
         bool both) {
        return std::make_shared<GRU>(
            RecurrentOptions{in, hidden, layers, bias, batch_first, dropout, both, 0});
      },
      "input_size"_a, "hidden_size"_a, "num_layers"_a = 1, "bias"_a = true, "batch_first"_a = false,
      "dropout"_a = 0.0, "bidirectional"_a = false);
  add_recurrent(gru);
  LayerClass<RNNCell> cell(m, "RNNCell", m.attr("RNNCellBase"), "One step of an RNN.");
  cell.factory(
          [](int64_t in, int64_t hidden, bool bias, std::string nonlinearity) {
            return std::make_shared<RNNCell>(in, hidden, bias, nonlinearity);
          },
          "input_size"_a, "hidden_size"_a, "bias"_a = true, "nonlinearity"_a = "tanh")
      .property("nonlinearity", [](const RNNCell& self) { return nonlinearity_of(self.kind()); });
  add_cell(cell);
  const auto step = [](auto& layer, auto make) {
    layer.factory(make, "input_size"_a, "hidden_size"_a, "bias"_a = true);
    add_cell(layer);
  };
  LayerClass<LSTMCell> lstm_cell(m, "LSTMCell", m.attr("RNNCellBase"), "One step of an LSTM.");
  step(lstm_cell, [](int64_t in, int64_t hidden, bool bias) {
    return std::make_shared<LSTMCell>(in, hidden, bias);
  });
  LayerClass<GRUCell> gru_cell(m, "GRUCell", m.attr("RNNCellBase"), "One step of a GRU.");
  step(gru_cell, [](int64_t in, int64_t hidden, bool bias) {
    return std::make_shared<GRUCell>(in, hidden, bias);
  });
}

void bind_attention(nb::module_& m) {
  LayerClass<OutputProjection>(m, "NonDynamicallyQuantizableLinear", m.attr("Linear"), "A Linear.")
      .factory([](int64_t in, int64_t out,
                  bool bias) { return std::make_shared<OutputProjection>(in, out, bias); },
               "in_features"_a, "out_features"_a, "bias"_a = true)
      .field("in_features", &Linear::in_features)
      .field("out_features", &Linear::out_features);
  using T = MultiheadAttention;
  const nb::none none;
  LayerClass<T> layer(m, "MultiheadAttention", "Attention of several heads.");
  layer.factory(
      [](int64_t embed, int64_t heads, double dropout, bool bias, bool bias_kv, bool zero_attn,
         std::optional<int64_t> kdim, std::optional<int64_t> vdim, bool batch_first) {
        return std::make_shared<T>(AttentionOptions{embed, heads, dropout, bias, bias_kv, zero_attn,
                                                    kdim, vdim, batch_first});
      },
      "embed_dim"_a, "num_heads"_a, "dropout"_a = 0.0, "bias"_a = true, "add_bias_kv"_a = false,
      "add_zero_attn"_a = false, "kdim"_a = none, "vdim"_a = none, "batch_first"_a = false);
  layer.property("embed_dim", [](const T& self) { return self.options().embed_dim; });
  layer.property("num_heads", [](const T& self) { return self.options().num_heads; });
  layer.property("head_dim",
                 [](const T& self) { return self.options().embed_dim / self.options().num_heads; });
  layer.property(
      "kdim", [](const T& self) { return self.options().kdim.value_or(self.options().embed_dim); });
  layer.property(
      "vdim", [](const T& self) { return self.options().vdim.value_or(self.options().embed_dim); });
  layer.property(
      "dropout", [](const T& self) { return self.options().dropout; },
      [](T& self, double p) { self.options().dropout = p; });
  layer.property(
      "batch_first", [](const T& self) { return self.options().batch_first; },
      [](T& self, bool on) { self.options().batch_first = on; });
  layer.property("add_zero_attn", [](const T& self) { return self.options().add_zero_attn; });
  layer.argument("bias", [](const T& self) { return self.options().bias; });
  layer.argument("add_bias_kv", [](const T& self) { return self.options().add_bias_kv; });
  layer.def(
      "forward",
      [](T& self, const Tensor& q, const Tensor& k, const Tensor& v, const Mask& padding,
         bool need_weights, const Mask& mask, bool average, bool causal) {
        return self.forward(q, k, v, padding, need_weights, mask, average, causal);
      },
      "query"_a, "key"_a, "value"_a, "key_padding_mask"_a = none, "need_weights"_a = true,
      "attn_mask"_a = none, "average_attn_weights"_a = true, "is_causal"_a = false);
}

/// The activation of a transformer layer: a name, or the function or module of that name.
std::string activation_name(nb::handle given) {
  if (nb::isinstance<nb::str>(given)) return nb::cast<std::string>(given);
  std::string name = nb::cast<std::string>(nb::handle(
      is_module(given) ? given.type().attr("__name__") : nb::getattr(given, "__name__")));
  std::transform(name.begin(), name.end(), name.begin(), [](char c) { return std::tolower(c); });
  return name;
}

/// The constructor's arguments of a layer as attributes that are read back.
template <class T>
void add_transformer_arguments(LayerClass<T>& layer) {
  const auto option = [&](const char* name, auto member) {
    layer.argument(name, [member](const T& self) { return self.options().*member; });
  };
  option("d_model", &TransformerOptions::d_model);
  option("nhead", &TransformerOptions::nhead);
  option("dim_feedforward", &TransformerOptions::dim_feedforward);
  option("dropout", &TransformerOptions::dropout);
  option("activation", &TransformerOptions::activation);
  option("layer_norm_eps", &TransformerOptions::layer_norm_eps);
  option("batch_first", &TransformerOptions::batch_first);
  option("norm_first", &TransformerOptions::norm_first);
  option("bias", &TransformerOptions::bias);
}

template <class T>
void add_layer_constructor(LayerClass<T>& layer) {
  layer.factory(
      [](int64_t d_model, int64_t heads, int64_t feedforward, double dropout, nb::object activation,
         double eps, bool batch_first, bool norm_first, bool bias) {
        return std::make_shared<T>(TransformerOptions{d_model, heads, feedforward, dropout,
                                                      activation_name(activation), eps, batch_first,
                                                      norm_first, bias});
      },
      "d_model"_a, "nhead"_a, "dim_feedforward"_a = 2048, "dropout"_a = 0.1,
      "activation"_a = "relu", "layer_norm_eps"_a = 1e-5, "batch_first"_a = false,
      "norm_first"_a = false, "bias"_a = true);
  add_transformer_arguments(layer);
}

void bind_transformer_layers(nb::module_& m) {
  const nb::none none;
  using E = TransformerEncoderLayer;
  LayerClass<E> encoder(m, "TransformerEncoderLayer", "Self-attention and a feed-forward network.");
  add_layer_constructor(encoder);
  encoder.def(
      "forward",
      [](E& self, const Tensor& src, const Mask& mask, const Mask& padding, bool causal) {
        return self.forward(src, mask, padding, causal);
      },
      "src"_a, "src_mask"_a = none, "src_key_padding_mask"_a = none, "is_causal"_a = false);
  using D = TransformerDecoderLayer;
  LayerClass<D> decoder(m, "TransformerDecoderLayer",
                        "Self-attention, attention on the memory and a feed-forward network.");
  add_layer_constructor(decoder);
  decoder.def(
      "forward",
      [](D& self, const Tensor& tgt, const Tensor& memory, const Mask& tgt_mask,
         const Mask& memory_mask, const Mask& tgt_padding, const Mask& memory_padding,
         bool tgt_causal, bool memory_causal) {
        return self.forward(tgt, memory, tgt_mask, memory_mask, tgt_padding, memory_padding,
                            tgt_causal, memory_causal);
      },
      "tgt"_a, "memory"_a, "tgt_mask"_a = none, "memory_mask"_a = none,
      "tgt_key_padding_mask"_a = none, "memory_key_padding_mask"_a = none,
      "tgt_is_causal"_a = false, "memory_is_causal"_a = false);
}

/// `count` deep copies of a layer, as torch makes them, and an optional last norm.
template <class T>
void fill_stack(nb::handle self, nb::handle layer, int64_t count, nb::handle norm) {
  const nb::object deepcopy = nb::module_::import_("copy").attr("deepcopy");
  std::vector<ModulePtr> layers;
  for (int64_t i = 0; i < count; ++i) layers.push_back(share_module(deepcopy(layer)));
  attach_module(self, std::make_shared<T>(layers, norm.is_none() ? nullptr : share_module(norm)));
  if (norm.is_none()) nb::setattr(self, "norm", nb::none());
  nb::setattr(self, "num_layers", nb::int_(count));
}

/// x through every layer with the given masks, then the norm. Calls go through Python, so layers
/// may be of any class and have hooks.
nb::object run_stack(nb::handle self, nb::object x, nb::handle memory, const nb::dict& masks) {
  for (nb::handle layer : self.attr("layers"))
    x = memory.is_none() ? layer(x, **masks) : layer(x, memory, **masks);
  const nb::object norm = nb::getattr(self, "norm", nb::none());
  return norm.is_none() ? x : norm(x);
}

void bind_stacks(nb::module_& m) {
  const nb::none none;
  using E = TransformerEncoder;
  LayerClass<E>(m, "TransformerEncoder", "A stack of encoder layers.")
      .def(
          "__init__",
          [](nb::handle self, nb::handle layer, int64_t count, nb::object norm, bool, bool) {
            fill_stack<E>(self, layer, count, norm);
          },
          "encoder_layer"_a, "num_layers"_a, "norm"_a = none, "enable_nested_tensor"_a = true,
          "mask_check"_a = true)
      .rebuilt([] { return std::make_shared<E>(); })
      .def(
          "forward",
          [](nb::handle self, nb::object src, nb::object mask, nb::object padding,
             std::optional<bool> causal) {
            nb::dict masks;
            masks["src_mask"] = mask;
            masks["src_key_padding_mask"] = padding;
            masks["is_causal"] = causal.value_or(false);
            return run_stack(self, src, nb::none(), masks);
          },
          "src"_a, "mask"_a = none, "src_key_padding_mask"_a = none, "is_causal"_a = none);
  using D = TransformerDecoder;
  LayerClass<D>(m, "TransformerDecoder", "A stack of decoder layers.")
      .def(
          "__init__",
          [](nb::handle self, nb::handle layer, int64_t count, nb::object norm) {
            fill_stack<D>(self, layer, count, norm);
          },
          "decoder_layer"_a, "num_layers"_a, "norm"_a = none)
      .rebuilt([] { return std::make_shared<D>(); })
      .def(
          "forward",
          [](nb::handle self, nb::object tgt, nb::object memory, nb::object tgt_mask,
             nb::object memory_mask, nb::object tgt_padding, nb::object memory_padding,
             std::optional<bool> tgt_causal, bool memory_causal) {
            nb::dict masks;
            masks["tgt_mask"] = tgt_mask;
            masks["memory_mask"] = memory_mask;
            masks["tgt_key_padding_mask"] = tgt_padding;
            masks["memory_key_padding_mask"] = memory_padding;
            masks["tgt_is_causal"] = tgt_causal.value_or(false);
            masks["memory_is_causal"] = memory_causal;
            return run_stack(self, tgt, memory, masks);
          },
          "tgt"_a, "memory"_a, "tgt_mask"_a = none, "memory_mask"_a = none,
          "tgt_key_padding_mask"_a = none, "memory_key_padding_mask"_a = none,
          "tgt_is_causal"_a = none, "memory_is_causal"_a = false);
}

void bind_transformer(nb::module_& m) {
  const nb::none none;
  using T = Transformer;
  LayerClass<T> layer(m, "Transformer", "Encoder and decoder.");
  layer.factory(
      [](int64_t d_model, int64_t heads, int64_t encoders, int64_t decoders, int64_t feedforward,
         double dropout, nb::object activation, nb::object encoder, nb::object decoder, double eps,
         bool batch_first, bool norm_first, bool bias) {
        DS_CHECK(encoder.is_none() && decoder.is_none(), NotImplementedError,
                 "Transformer: custom_encoder and custom_decoder are not available; assign to "
                 ".encoder and .decoder");
        return std::make_shared<T>(
            TransformerOptions{d_model, heads, feedforward, dropout, activation_name(activation),
                               eps, batch_first, norm_first, bias},
            encoders, decoders);
      },
      "d_model"_a = 512, "nhead"_a = 8, "num_encoder_layers"_a = 6, "num_decoder_layers"_a = 6,
      "dim_feedforward"_a = 2048, "dropout"_a = 0.1, "activation"_a = "relu",
      "custom_encoder"_a = none, "custom_decoder"_a = none, "layer_norm_eps"_a = 1e-5,
      "batch_first"_a = false, "norm_first"_a = false, "bias"_a = true);
  add_transformer_arguments(layer);
  layer.property("d_model", [](const T& self) { return self.options().d_model; });
  layer.property("nhead", [](const T& self) { return self.options().nhead; });
  layer.property("batch_first", [](const T& self) { return self.options().batch_first; });
  layer.def(
      "forward",
      [](nb::handle self, nb::object src, nb::object tgt, nb::object src_mask, nb::object tgt_mask,
         nb::object memory_mask, nb::object src_padding, nb::object tgt_padding,
         nb::object memory_padding, nb::object src_causal, nb::object tgt_causal,
         bool memory_causal) {
        const nb::object memory =
            self.attr("encoder")(src, "mask"_a = src_mask, "src_key_padding_mask"_a = src_padding,
                                 "is_causal"_a = src_causal);
        return nb::object(self.attr("decoder")(
            tgt, memory, "tgt_mask"_a = tgt_mask, "memory_mask"_a = memory_mask,
            "tgt_key_padding_mask"_a = tgt_padding, "memory_key_padding_mask"_a = memory_padding,
            "tgt_is_causal"_a = tgt_causal, "memory_is_causal"_a = memory_causal));
      },
      "src"_a, "tgt"_a, "src_mask"_a = none, "tgt_mask"_a = none, "memory_mask"_a = none,
      "src_key_padding_mask"_a = none, "tgt_key_padding_mask"_a = none,
      "memory_key_padding_mask"_a = none, "src_is_causal"_a = none, "tgt_is_causal"_a = none,
      "memory_is_causal"_a = false);
  const nb::handle static_method(reinterpret_cast<PyObject*>(&PyStaticMethod_Type));
  m.attr("Transformer").attr("generate_square_subsequent_mask") = static_method(nb::cpp_function(
      [](int64_t size, nb::object, nb::object) { return T::generate_square_subsequent_mask(size); },
      "sz"_a, "device"_a = none, "dtype"_a = none));
}

}  // namespace

void bind_sequence_layers(nb::module_& m) {
  bind_recurrent(m);
  bind_attention(m);
  bind_transformer_layers(m);
  bind_stacks(m);
  bind_transformer(m);
}
