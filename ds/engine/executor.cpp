// SPDX-License-Identifier: Apache-2.0
#include "ds/engine/executor.h"

#include <pthread.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <thread>

#include "ds/base/error.h"

namespace ds {
namespace {

// Two steps ahead hide the recording of the next one; more would only hold their buffers.
constexpr size_t kMaxQueued = 4;

std::atomic<bool> g_step_timing{false};
std::atomic<bool> g_forked{false};

void fail_outputs(const Job& job, const std::exception_ptr& error, uint32_t location) {
  for (const BufferPtr& output : job.outputs) output->fail(error, location);
}

/// Temporaries of all programs of a backend share one arena: only one runs at a time.
class Arenas {
 public:
  void* get(Device device, size_t bytes) {
    Arena& arena = arenas_[device.backend];
    if (arena.bytes < bytes) {
      arena = {};  // released first: two arenas need not fit side by side
      arena = {backend_of(device).alloc(bytes), bytes};
    }
    return arena.memory.get();
  }

 private:
  struct Arena {
    std::shared_ptr<void> memory;
    size_t bytes = 0;
  };
  std::array<Arena, 256> arenas_;
};

void run_job(const Job& job, Arenas& arenas) {
  for (const BufferPtr& input : job.inputs)
    if (input->error()) return fail_outputs(job, input->error(), input->error_location());
  Program& program = *job.program;
  RunContext context;
  try {
    std::vector<const void*> inputs;
    for (const BufferPtr& input : job.inputs) inputs.push_back(input->data());
    std::vector<std::shared_ptr<void>> memory(job.outputs.size());
    for (const auto& [output, input] : program.donations)
      memory[static_cast<size_t>(output)] = job.inputs[static_cast<size_t>(input)]->memory();
    std::vector<void*> outputs;
    for (size_t i = 0; i < job.outputs.size(); ++i) {
      const Buffer& buffer = *job.outputs[i];
      if (!memory[i])
        memory[i] =
            backend_of(job.device)
                .alloc(buffer.layout() ? buffer.layout()->nbytes() : type_bytes(buffer.type()));
      outputs.push_back(memory[i].get());
    }
    context.arena = arenas.get(job.device, program.executable->arena_bytes());
    if (g_step_timing) {
      program.step_seconds.resize(program.executable->steps().size());
      context.step_seconds = &program.step_seconds;
      ++program.profiled_runs;
    }
    program.executable->run(inputs, outputs, context);
    for (size_t i = 0; i < job.outputs.size(); ++i) job.outputs[i]->finish(std::move(memory[i]));
  } catch (...) {
    fail_outputs(job, std::current_exception(), context.node ? context.node->location() : 0);
  }
}

class Executor {
 public:
  Executor() : thread_([this] { loop(); }) {}

  void submit(Job job) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return jobs_.size() < kMaxQueued; });
    jobs_.push_back(std::move(job));
    changed_.notify_all();
  }

  void drain() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return jobs_.empty() && !running_; });
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }

 private:
  void loop() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      running_ = true;
      changed_.notify_all();
      lock.unlock();
      run_job(job, arenas_);
      job = {};  // buffers are released before anyone who drains goes on
      lock.lock();
      running_ = false;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  Arenas arenas_;
  bool running_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

/// Lives until the end of the process; its thread is joined before static objects are destroyed.
Executor& executor() {
  static Executor* instance = [] {
    auto* made = new Executor;
    pthread_atfork(nullptr, nullptr, [] { g_forked = true; });
    std::atexit([] {
      if (!g_forked) executor().stop();
    });
    return made;
  }();
  return *instance;
}

}  // namespace

void submit(Job job) {
  if (g_forked) {
    static auto* arenas = new Arenas;
    run_job(job, *arenas);
    return;
  }
  executor().submit(std::move(job));
}

void drain() {
  if (!g_forked) executor().drain();
}

void set_step_timing(bool on) { g_step_timing = on; }

}  // namespace ds
