// SPDX-License-Identifier: Apache-2.0
// libjpeg reports errors by a callback that must not return: it jumps back over C frames only, into
// a function that owns nothing with a destructor.
#include "ds/io/image.h"

#include <jpeglib.h>
#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>

#include "ds/base/error.h"

namespace ds::io {
namespace {

constexpr uint64_t kMaxSamples = uint64_t{1} << 28;

struct JpegError {
  jpeg_error_mgr base;
  std::jmp_buf back;
  char message[JMSG_LENGTH_MAX];
};

void jpeg_fail(j_common_ptr info) {
  auto* error = reinterpret_cast<JpegError*>(info->err);
  (*info->err->format_message)(info, error->message);
  std::longjmp(error->back, 1);
}

void jpeg_ignore(j_common_ptr, int) {}

struct JpegTarget {
  uint8_t* (*reserve)(void* owner, int64_t height, int64_t width, int64_t channels);
  void* owner;
};

/// False, with a message, when the data is not sound.
bool decode_jpeg_c(const unsigned char* data, size_t size, ImageMode mode, const JpegTarget& target,
                   char* message) {
  jpeg_decompress_struct info;
  JpegError error;
  info.err = jpeg_std_error(&error.base);
  error.base.error_exit = &jpeg_fail;
  error.base.emit_message = &jpeg_ignore;
  if (setjmp(error.back)) {
    std::snprintf(message, JMSG_LENGTH_MAX, "%s", error.message);
    jpeg_destroy_decompress(&info);
    return false;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, data, static_cast<unsigned long>(size));
  jpeg_read_header(&info, TRUE);
  const bool gray =
      mode == ImageMode::gray || (mode == ImageMode::unchanged && info.num_components == 1);
  info.out_color_space = gray ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&info);
  uint8_t* row =
      target.reserve(target.owner, info.output_height, info.output_width, info.output_components);
  if (!row) {
    std::snprintf(message, JMSG_LENGTH_MAX, "the image is too large");
    jpeg_destroy_decompress(&info);
    return false;
  }
  const size_t stride =
      static_cast<size_t>(info.output_width) * static_cast<size_t>(info.output_components);
  while (info.output_scanline < info.output_height) {
    JSAMPROW at = row + info.output_scanline * stride;
    jpeg_read_scanlines(&info, &at, 1);
  }
  const bool damaged = info.err->num_warnings > 0;
  if (damaged) std::snprintf(message, JMSG_LENGTH_MAX, "the data is damaged or truncated");
  jpeg_finish_decompress(&info);
  jpeg_destroy_decompress(&info);
  return !damaged;
}

uint8_t* reserve_pixels(void* owner, int64_t height, int64_t width, int64_t channels) {
  auto* image = static_cast<Image*>(owner);
  const uint64_t samples = static_cast<uint64_t>(height) * static_cast<uint64_t>(width) *
                           static_cast<uint64_t>(channels);
  if (samples > kMaxSamples) return nullptr;
  image->height = height;
  image->width = width;
  image->channels = channels;
  image->pixels.resize(samples);
  return image->pixels.data();
}

Image decode_jpeg(Bytes bytes, const std::string& name, ImageMode mode) {
  Image image;
  std::array<char, JMSG_LENGTH_MAX> message{};
  const JpegTarget target{&reserve_pixels, &image};
  DS_CHECK(decode_jpeg_c(bytes.data(), bytes.size(), mode, target, message.data()), FileFormatError,
           name, ": not a sound JPEG: ", message.data());
  return image;
}

/// Frees libpng's state at the end of a scope.
struct PngImage {
  png_image value{};
  PngImage() { value.version = PNG_IMAGE_VERSION; }
  ~PngImage() { png_image_free(&value); }
};

Image decode_png(Bytes bytes, const std::string& name, ImageMode mode) {
  PngImage png;
  DS_CHECK(png_image_begin_read_from_memory(&png.value, bytes.data(), bytes.size()),
           FileFormatError, name, ": not a sound PNG: ", png.value.message);
  const bool gray = mode == ImageMode::gray ||
                    (mode == ImageMode::unchanged && !(png.value.format & PNG_FORMAT_FLAG_COLOR));
  png.value.format = gray ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  Image image;
  uint8_t* pixels = reserve_pixels(&image, png.value.height, png.value.width, gray ? 1 : 3);
  DS_CHECK(pixels, FileFormatError, name, ": the image is too large");
  const png_color black{0, 0, 0};
  DS_CHECK(png_image_finish_read(&png.value, &black, pixels, 0, nullptr), FileFormatError, name,
           ": not a sound PNG: ", png.value.message);
  return image;
}

}  // namespace

Image decode_image(Bytes bytes, const std::string& name, ImageMode mode) {
  if (bytes.size() >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff)
    return decode_jpeg(bytes, name, mode);
  if (bytes.size() >= 4 && bytes[0] == 0x89 && bytes[1] == 'P' && bytes[2] == 'N' &&
      bytes[3] == 'G')
    return decode_png(bytes, name, mode);
  throw FileFormatError(name + ": neither JPEG nor PNG");
}

Tensor image_tensor(const Image& image) {
  const auto plane = static_cast<size_t>(image.height * image.width);
  const auto channels = static_cast<size_t>(image.channels);
  std::vector<uint8_t> planes(image.pixels.size());
  for (size_t i = 0; i < plane; ++i)
    for (size_t c = 0; c < channels; ++c) planes[c * plane + i] = image.pixels[i * channels + c];
  return Tensor::from_host(planes.data(), {DType::u8, {image.channels, image.height, image.width}});
}

Tensor read_image(const std::string& path, ImageMode mode) {
  const MappedFile file(path);
  return image_tensor(decode_image(file.bytes(), path, mode));
}

void write_png(const Tensor& image, const std::string& path) {
  DS_CHECK(image.dtype() == DType::u8, DTypeError, "write_png: the image is ", image.type(),
           "; it must be uint8 in 0 to 255");
  const Shape shape =
      image.dim() == 2 ? Shape{1, image.shape()[0], image.shape()[1]} : image.shape();
  DS_CHECK(shape.rank() == 3 && (shape[0] == 1 || shape[0] == 3) && shape.numel() > 0, ShapeError,
           "write_png: the image is ", image.type(), "; it must be [1 or 3, height, width]");
  const std::vector<uint8_t> planes = image.to_vector<uint8_t>();
  const auto plane = static_cast<size_t>(shape[1] * shape[2]);
  const auto channels = static_cast<size_t>(shape[0]);
  std::vector<uint8_t> pixels(planes.size());
  for (size_t i = 0; i < plane; ++i)
    for (size_t c = 0; c < channels; ++c) pixels[i * channels + c] = planes[c * plane + i];
  PngImage png;
  png.value.height = static_cast<png_uint_32>(shape[1]);
  png.value.width = static_cast<png_uint_32>(shape[2]);
  png.value.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  DS_CHECK(png_image_write_get_memory_size(png.value, size, 0, pixels.data(), 0, nullptr), IOError,
           "write_png: ", png.value.message);
  std::vector<unsigned char> bytes(size);
  DS_CHECK(png_image_write_to_memory(&png.value, bytes.data(), &size, 0, pixels.data(), 0, nullptr),
           IOError, "write_png: ", png.value.message);
  AtomicFile file(path);
  file.write(bytes.data(), size);
  file.commit();
}

}  // namespace ds::io
