// SPDX-License-Identifier: Apache-2.0
// Data sets whose samples are made in C++, their loader and transforms, in the submodule _data.

#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>

#include "ds/data/loader.h"
#include "functions.h"

namespace {

using ds::Tensor;
namespace data = ds::data;

using TransformHandle = std::shared_ptr<const data::Transform>;

struct TransformObject {
  TransformHandle transform;
};
struct DatasetObject {
  data::DatasetPtr dataset;
};

std::vector<data::TransformPtr> handles(const std::vector<TransformObject*>& objects) {
  std::vector<data::TransformPtr> list;
  for (const TransformObject* object : objects) list.push_back(object->transform);
  return list;
}

nb::list tensors_of(const data::Sample& sample) {
  nb::list out;
  for (const data::HostArray& array : sample) out.append(array.tensor());
  return out;
}

/// The iterator that `for batch in loader` uses: it ends its epoch when it is dropped.
class LoaderIterator {
 public:
  explicit LoaderIterator(std::shared_ptr<data::DataLoader> loader) : loader_(std::move(loader)) {}
  nb::list next() {
    std::vector<Tensor> batch;
    bool more;
    {
      const Unlocked unlocked;
      more = loader_->next(batch);
    }
    if (!more) throw nb::stop_iteration();
    nb::list out;
    for (const Tensor& tensor : batch) out.append(tensor);
    return out;
  }

 private:
  std::shared_ptr<data::DataLoader> loader_;
};

void bind_transforms(nb::module_& m) {
  nb::class_<TransformObject>(m, "Transform")
      .def(
          "__call__",
          [](const TransformObject& t, const Tensor& image, uint64_t seed) {
            data::SampleRandom random(seed, 0, 0);
            return (*t.transform)(data::HostArray(image), random).tensor();
          },
          "image"_a, "seed"_a = 0, "The transform of one uint8 or float32 image [C, H, W].");
  const auto wrap = [](data::TransformPtr t) { return TransformObject{std::move(t)}; };
  m.def("compose",
        [=](const std::vector<TransformObject*>& t) { return wrap(data::compose(handles(t))); });
  m.def("to_float", [=](double divisor) { return wrap(data::to_float(divisor)); });
  m.def("normalize", [=](std::vector<double> mean, std::vector<double> std) {
    return wrap(data::normalize(std::move(mean), std::move(std)));
  });
  m.def("resize", [=](int64_t h, int64_t w) { return wrap(data::resize(h, w)); });
  m.def("resize_shorter", [=](int64_t size) { return wrap(data::resize_shorter(size)); });
  m.def("resample", [=](int64_t h, int64_t w, const std::string& filter) {
    return wrap(data::resample(h, w, data::filter_of(filter)));
  });
  m.def("resample_shorter", [=](int64_t size, const std::string& filter) {
    return wrap(data::resample_shorter(size, data::filter_of(filter)));
  });
  m.def("center_crop", [=](int64_t h, int64_t w) { return wrap(data::center_crop(h, w)); });
  m.def("random_crop", [=](int64_t h, int64_t w, int64_t padding) {
    return wrap(data::random_crop(h, w, padding));
  });
  m.def("random_horizontal_flip", [=](double p) { return wrap(data::random_horizontal_flip(p)); });
  m.def("random_vertical_flip", [=](double p) { return wrap(data::random_vertical_flip(p)); });
  m.def("random_resized_crop",
        [=](int64_t h, int64_t w, double s0, double s1, double r0, double r1) {
          return wrap(data::random_resized_crop(h, w, s0, s1, r0, r1));
        });
  m.def("random_rotation", [=](double degrees) { return wrap(data::random_rotation(degrees)); });
  m.def("random_translate", [=](double part) { return wrap(data::random_translate(part)); });
  m.def("color_jitter", [=](double b, double c) { return wrap(data::color_jitter(b, c)); });
  m.def("grayscale", [=](int64_t channels) { return wrap(data::grayscale(channels)); });
  m.def("random_erasing", [=](double p) { return wrap(data::random_erasing(p)); });
}

void bind_datasets(nb::module_& m) {
  nb::class_<DatasetObject>(m, "Dataset", "A data set whose samples are made in C++.")
      .def("__len__", [](const DatasetObject& d) { return d.dataset->size(); })
      .def("__getitem__",
           [](const DatasetObject& d, int64_t index) {
             const int64_t size = d.dataset->size();
             const int64_t place = index < 0 ? index + size : index;
             data::SampleRandom random(0, 0, static_cast<uint64_t>(std::max<int64_t>(place, 0)));
             return nb::tuple(tensors_of(d.dataset->get(place, random)));
           })
      .def("transformed",
           [](const DatasetObject& d, const TransformObject& t) {
             return DatasetObject{
                 std::make_shared<data::TransformedDataset>(d.dataset, t.transform)};
           })
      .def("subset", [](const DatasetObject& d, std::vector<int64_t> indices) {
        return DatasetObject{std::make_shared<data::Subset>(d.dataset, std::move(indices))};
      });
  m.def("array_dataset", [](const std::vector<Tensor>& tensors) {
    std::vector<data::HostArray> arrays;
    for (const Tensor& tensor : tensors) arrays.emplace_back(tensor);
    return DatasetObject{std::make_shared<data::ArrayDataset>(std::move(arrays))};
  });
  m.def("image_folder", [](const std::string& root) {
    auto folder = std::make_shared<data::ImageFolder>(root);
    const std::vector<std::string> classes = folder->classes();
    return nb::make_tuple(DatasetObject{folder}, classes);
  });
  m.def(
      "load_dataset",
      [](const std::string& name, const std::string& folder) {
        const data::NamedDataset set = data::load_dataset(name, folder);
        nb::dict out;
        out["train"] = DatasetObject{set.train};
        out["test"] = DatasetObject{set.test};
        out["classes"] = set.classes;
        out["image"] = set.image;
        out["divisor"] = set.divisor;
        out["mean"] = set.mean;
        out["std"] = set.std;
        return out;
      },
      "name"_a, "folder"_a = "");
  m.def("shuffled", &data::shuffled, "n"_a, "seed"_a, "epoch"_a);
}

}  // namespace

void bind_data(nb::module_& module) {
  nb::module_ m = module.def_submodule("_data");
  bind_transforms(m);
  bind_datasets(m);
  nb::class_<LoaderIterator>(m, "LoaderIterator")
      .def("__iter__", [](nb::object self) { return self; })
      .def("__next__", &LoaderIterator::next);
  nb::class_<data::DataLoader>(m, "DataLoader")
      .def(
          "__init__",
          [](data::DataLoader* self, const DatasetObject& dataset, int64_t batch_size, bool shuffle,
             bool drop_last, int workers, int prefetch, uint64_t seed) {
            new (self) data::DataLoader(dataset.dataset,
                                        {batch_size, shuffle, drop_last, workers, prefetch, seed});
          },
          "dataset"_a, "batch_size"_a, "shuffle"_a, "drop_last"_a, "num_workers"_a,
          "prefetch_factor"_a, "seed"_a)
      .def("__len__", &data::DataLoader::size)
      .def("__iter__",
           [](std::shared_ptr<data::DataLoader> loader) {
             if (loader->state().position > 0) loader->reset();
             return LoaderIterator(std::move(loader));
           })
      .def("resume",
           [](std::shared_ptr<data::DataLoader> loader) {
             return LoaderIterator(std::move(loader));
           })
      .def("reset", &data::DataLoader::reset)
      .def_prop_rw(
          "state",
          [](const data::DataLoader& loader) {
            return nb::make_tuple(loader.state().epoch, loader.state().position);
          },
          [](data::DataLoader& loader, std::pair<uint64_t, int64_t> state) {
            loader.load_state({state.first, state.second});
          });
}
