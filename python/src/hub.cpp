// SPDX-License-Identifier: Apache-2.0
// Models, in the submodule _hub.
#include "hub.h"

#include "ds/base/error.h"
#include "ds/hub/resnet.h"

void bind_hub(nb::module_& module) {
  nb::module_ m = module.def_submodule("_hub");
  using ds::hub::ResNet;
  using ds::hub::ResNetBlock;
  LayerClass<ResNetBlock>(m, "ResNetBlock", "A block of a residual network.")
      .factory(
          [](int64_t in_channels, int64_t width, int64_t stride, bool bottleneck) {
            return std::make_shared<ResNetBlock>(in_channels, width, stride, bottleneck);
          },
          "in_channels"_a, "width"_a, "stride"_a = 1, "bottleneck"_a = false)
      .field("in_channels", &ResNetBlock::in_channels)
      .field("width", &ResNetBlock::width)
      .field("stride", &ResNetBlock::stride)
      .field("bottleneck", &ResNetBlock::bottleneck)
      .forward();
  LayerClass<ResNet> model(m, "ResNet", "Residual network (He et al., 2016), as in torchvision.");
  model
      .factory(
          [](std::vector<int64_t> layers, bool bottleneck, int64_t num_classes, int64_t in_channels,
             int64_t width, bool small_input) {
            ds::hub::ResNetOptions o;
            DS_CHECK(layers.size() <= o.layers.size(), ValueError, "ResNet: ", layers.size(),
                     " stages; at most ", o.layers.size(), " are possible");
            o.layers.fill(0);
            std::copy(layers.begin(), layers.end(), o.layers.begin());
            o.bottleneck = bottleneck;
            o.num_classes = num_classes;
            o.in_channels = in_channels;
            o.width = width;
            o.small_input = small_input;
            return std::make_shared<ResNet>(o);
          },
          "layers"_a = std::vector<int64_t>{2, 2, 2, 2}, "bottleneck"_a = false,
          "num_classes"_a = 1000, "in_channels"_a = 3, "width"_a = 64, "small_input"_a = false)
      .property(
          "layers",
          [](const ResNet& self) {
            return std::vector<int64_t>(self.options.layers.begin(), self.options.layers.end());
          },
          [](ResNet& self, const std::vector<int64_t>& layers) {
            DS_CHECK(std::equal(layers.begin(), layers.end(), self.options.layers.begin(),
                                self.options.layers.end()),
                     StateError, "ResNet: layers is fixed; make another model");
          });
#define DS_RESNET_OPTION(name)                                         \
  model.property(                                                      \
      #name, [](const ResNet& self) { return self.options.name; },     \
      [](ResNet& self, decltype(ds::hub::ResNetOptions::name) value) { \
        self.options.name = value;                                     \
      });
  DS_RESNET_OPTION(bottleneck)
  DS_RESNET_OPTION(num_classes)
  DS_RESNET_OPTION(in_channels)
  DS_RESNET_OPTION(width)
  DS_RESNET_OPTION(small_input)
#undef DS_RESNET_OPTION
  model.forward();
  bind_language_models(m);
}
