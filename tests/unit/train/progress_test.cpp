// SPDX-License-Identifier: Apache-2.0
// What the progress bar writes, to a terminal and elsewhere.
#include "ds/train/progress.h"

#include <doctest/doctest.h>

using namespace ds::train;

namespace {

std::string written(std::FILE* file) {
  std::string text;
  std::rewind(file);
  for (int c; (c = std::fgetc(file)) != EOF;) text += static_cast<char>(c);
  return text;
}

ProgressState halfway() {
  ProgressState state;
  state.epoch = 1;
  state.epochs = 3;
  state.batch = 5;
  state.batches = 10;
  state.samples = 80;
  state.seconds = 10;
  state.values = {{"loss", 0.25}};
  return state;
}

}  // namespace

TEST_CASE("a line has epoch, part, loss, throughput and time left") {
  CHECK(progress_line(halfway(), 79).substr(0, 73) ==
        "epoch 2/3 [##########..........]  50% loss 0.2500 8/s 0:30 left          ");
  CHECK(progress_line(halfway(), 20).size() == 20);
  ProgressState measured = halfway();
  measured.memory = 812'400'000;
  CHECK(progress_line(measured, 79).find("8/s 812 MB 0:30 left") != std::string::npos);
  measured.memory = 1'250'000'000;
  CHECK(progress_line(measured, 79).find("8/s 1.2 GB 0:30 left") != std::string::npos);
  ProgressState unknown = halfway();
  unknown.batches = std::nullopt;
  CHECK(progress_line(unknown, 60).find("epoch 2/3 batch 5 loss 0.2500 8/s") == 0);
  CHECK(epoch_line(halfway()) == "epoch 2/3: loss 0.2500 (80 samples in 10.0 s, 8/s)");
  CHECK(duration_text(7.4) == "0:07");
  CHECK(duration_text(11100) == "3:05:00");
}

TEST_CASE("a file gets one line per epoch") {
  std::FILE* file = std::tmpfile();
  Progress progress(file);
  CHECK(!progress.due());
  progress.draw(halfway());
  progress.finish_epoch(halfway());
  progress.say("done");
  CHECK(written(file) == epoch_line(halfway()) + "\ndone\n");
  std::fclose(file);
}

TEST_CASE("a terminal's line is drawn again a few times per second") {
  std::FILE* file = std::tmpfile();
  Progress progress(file, true);
  CHECK(progress.due());
  progress.draw(halfway());
  CHECK(!progress.due());
  progress.finish_epoch(halfway());
  const std::string text = written(file);
  CHECK(text.find("\r" + progress_line(halfway(), 79)) == 0);
  CHECK(text.find(epoch_line(halfway()) + "\n") != std::string::npos);
  std::fclose(file);
}
