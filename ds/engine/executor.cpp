// SPDX-License-Identifier: Apache-2.0
#include "ds/engine/executor.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "ds/base/error.h"
#include "ds/base/location.h"
#include "ds/base/parallel.h"
#include "ds/base/team.h"
#include "ds/runtime/allocator.h"
#include "ds/runtime/layout_of_several.h"
#include "ds/runtime/offload.h"

namespace ds {
namespace {

// Two steps ahead hide the recording of the next one; more would only hold their buffers.
constexpr size_t kMaxQueued = 4;

// A thread is woken and wakes another; a job is queued.
constexpr double kHandOverSeconds = 100e-6, kQueueSeconds = 10e-6;

std::atomic<bool> g_step_timing{false};
std::atomic<bool> g_forked{false};

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

/// An error that no failed buffer will report, because its values fell back to what they were.
struct UnseenError {
  std::mutex mutex;
  std::exception_ptr error;
  uint32_t location = 0;
};

UnseenError& unseen() {
  static auto* instance = new UnseenError;
  return *instance;
}

/// Marks everything that depends on the failed node.
void lose(const Graph& graph, RunContext& context) {
  context.lost.insert(context.node);
  const std::vector<NodePtr> order = graph.topological();
  bool known = false;
  for (const NodePtr& node : order) {
    known = known || node.get() == context.node;
    for (const Value& input : node->inputs())
      if (context.lost.count(input.node.get())) context.lost.insert(node.get());
  }
  context.lost_outputs.assign(graph.outputs.size(), !known);
  for (size_t i = 0; i < graph.outputs.size(); ++i)
    if (context.lost.count(graph.outputs[i].node.get())) context.lost_outputs[i] = true;
  if (!known)
    for (const NodePtr& node : order) context.lost.insert(node.get());
}

/// The output takes over the buffer's memory, so nobody else holds the buffer.
bool gives_memory(const Job& job, size_t output, const BufferPtr& buffer) {
  const auto& donations = job.program->donations;
  return std::any_of(donations.begin(), donations.end(), [&](const auto& pair) {
    return static_cast<size_t>(pair.first) == output &&
           job.inputs[static_cast<size_t>(pair.second)] == buffer;
  });
}

/// Gives lost outputs what they were before, or the error: these last, as whoever waits for one
/// takes the error as reported.
void settle_lost(const Job& job, const RunContext& context, const std::exception_ptr& error,
                 uint32_t location) {
  std::vector<size_t> failed;
  for (size_t i = 0; i < job.outputs.size(); ++i) {
    if (!context.lost_outputs[i]) continue;
    const BufferPtr fallback = i < job.fallbacks.size() ? job.fallbacks[i] : nullptr;
    if (!fallback || fallback->error()) {
      failed.push_back(i);
      continue;
    }
    if (!gives_memory(job, i, fallback)) {
      fallback->mark_shared();
      job.outputs[i]->mark_shared();
    }
    job.outputs[i]->keep(*fallback);
    const std::lock_guard lock(unseen().mutex);
    unseen().error = error;
    unseen().location = location;
  }
  for (const size_t i : failed) job.outputs[i]->fail(error, location);
}

/// An input that failed takes its dependents with it, as if the step that made it were here.
void lose_failed_inputs(const Job& job, RunContext& context, std::exception_ptr& error,
                        uint32_t& location) {
  const Graph& graph = job.program->graph;
  for (size_t i = 0; i < job.inputs.size(); ++i) {
    if (!job.inputs[i]->error()) continue;
    error = job.inputs[i]->error();
    location = job.inputs[i]->error_location();
    context.node = graph.inputs[i].get();
    lose(graph, context);
  }
  context.node = nullptr;
}

/// A copy made of several values: equal to one of the same values only, and to none when one of
/// them is gone.
class KeptLayout final : public Layout {
 public:
  KeptLayout(LayoutPtr layout, std::vector<std::weak_ptr<Buffer>> others)
      : layout_(std::move(layout)), others_(std::move(others)) {}
  size_t nbytes() const override { return layout_->nbytes(); }
  uint64_t hash() const override { return layout_->hash(); }
  bool equals(const Layout& other) const override {
    const auto* kept = dynamic_cast<const KeptLayout*>(&other);
    const auto same = [](const std::weak_ptr<Buffer>& a, const std::weak_ptr<Buffer>& b) {
      const BufferPtr value = a.lock();
      return value && value == b.lock();
    };
    return kept && layout_->equals(*kept->layout_) &&
           std::equal(others_.begin(), others_.end(), kept->others_.begin(), kept->others_.end(),
                      same);
  }
  std::string text() const override { return layout_->text(); }

 private:
  LayoutPtr layout_;
  std::vector<std::weak_ptr<Buffer>> others_;
};

/// How a copy is known to the input that keeps it; null when it is not to be kept, because others
/// may write to what it is made of.
LayoutPtr kept_layout(const Job& job, const InputCopy& wanted) {
  const auto* several = dynamic_cast<const LayoutOfSeveral*>(wanted.layout.get());
  if (!several) return wanted.layout;
  std::vector<std::weak_ptr<Buffer>> others;
  for (const int input : several->others()) {
    const BufferPtr& buffer = job.inputs[static_cast<size_t>(input)];
    if (buffer->shared()) return nullptr;
    others.emplace_back(buffer);
  }
  return std::make_shared<KeptLayout>(wanted.layout, std::move(others));
}

/// Memory for the copies of inputs that the program works with; those made by an earlier run are
/// there already.
std::vector<std::shared_ptr<void>> find_copies(const Job& job, RunContext& context) {
  std::vector<std::shared_ptr<void>> copies;
  for (const InputCopy& wanted : job.program->executable->input_copies()) {
    const LayoutPtr layout = kept_layout(job, wanted);
    std::shared_ptr<void> memory =
        layout ? job.inputs[static_cast<size_t>(wanted.input)]->copy_in(*layout) : nullptr;
    context.copied.push_back(memory != nullptr);
    if (!memory) memory = backend_of(job.device).alloc(wanted.layout->nbytes());
    context.copies.push_back(memory.get());
    copies.push_back(std::move(memory));
  }
  return copies;
}

void keep_copies(const Job& job, const RunContext& context,
                 std::vector<std::shared_ptr<void>> copies) {
  const std::vector<InputCopy>& wanted = job.program->executable->input_copies();
  for (size_t i = 0; i < copies.size(); ++i) {
    if (context.copied[i]) continue;
    if (LayoutPtr layout = kept_layout(job, wanted[i]))
      job.inputs[static_cast<size_t>(wanted[i].input)]->keep_copy(std::move(layout),
                                                                  std::move(copies[i]));
  }
}

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Keeps what this run added to the plan's sums.
void keep_timed_run(Program& program, double start, std::vector<double> before) {
  if (program.timed_runs.size() >= kMaxTimedRuns) return;
  for (size_t i = 0; i < before.size(); ++i) before[i] = program.step_seconds[i] - before[i];
  program.timed_runs.push_back({0, start, std::move(before)});
}

/// Moves inputs that the program wants in files there. They give their memory to outputs, so this
/// happens once.
void offload_inputs(const Job& job) {
  bool moved = false;
  const std::vector<bool>& offloaded = job.program->compile_options.offloaded;
  for (size_t i = 0; i < offloaded.size(); ++i) {
    Buffer& input = *job.inputs[i];
    if (!offloaded[i] || input.error() || is_offloaded(input.data())) continue;
    const size_t bytes = type_bytes(input.type());
    std::shared_ptr<void> memory = allocate_offloaded(bytes);
    std::memcpy(memory.get(), input.data(), bytes);
    write_behind(memory.get(), bytes);
    input.finish(std::move(memory));
    moved = true;
  }
  if (moved) empty_cache();  // what they left is to be free
}

/// Memory for an output: of a file where the budget has no room beside what is in use and there is
/// a folder for files.
std::shared_ptr<void> output_memory(const Job& job, size_t bytes) {
  const size_t limit = memory_budget();
  if (limit > 0 && bytes >= kLeastOffload && !offload_directory().empty() &&
      memory_stats().in_use + bytes > limit)
    return allocate_offloaded(bytes);
  return backend_of(job.device).alloc(bytes);
}

/// One thread takes no longer, as measured: the first run of a program never is.
bool is_short(const Program& program, double seconds) {
  return !program.keeps_threads && program.thread_seconds < seconds;
}

void run_job(const Job& job, Arenas& arenas) {
  Program& program = *job.program;
  const double begin = steady_seconds();
  RunContext context;
  std::exception_ptr error;
  uint32_t location = 0;
  lose_failed_inputs(job, context, error, location);
  std::optional<ThreadLimit> limit;
  if (program.small) limit.emplace(1);
  try {
    offload_inputs(job);
    std::vector<const void*> inputs;
    for (const BufferPtr& input : job.inputs) inputs.push_back(input->data());
    std::vector<std::shared_ptr<void>> memory(job.outputs.size());
    for (const auto& [output, input] : program.donations)
      memory[static_cast<size_t>(output)] = job.inputs[static_cast<size_t>(input)]->memory();
    std::vector<void*> outputs;
    for (size_t i = 0; i < job.outputs.size(); ++i) {
      const Buffer& buffer = *job.outputs[i];
      if (!memory[i])
        memory[i] = output_memory(
            job, buffer.layout() ? buffer.layout()->nbytes() : type_bytes(buffer.type()));
      outputs.push_back(memory[i].get());
    }
    std::vector<std::shared_ptr<void>> copies = find_copies(job, context);
    context.arena = arenas.get(job.device, program.executable->arena_bytes());
    const bool timed = g_step_timing;
    const double start = timed ? steady_seconds() : 0;
    std::vector<double> seconds_before;
    if (timed) {
      program.step_seconds.resize(program.executable->steps().size());
      context.step_seconds = &program.step_seconds;
      ++program.profiled_runs;
      seconds_before = program.step_seconds;
    }
    for (bool done = false; !done;) {
      try {
        program.executable->run(inputs, outputs, context);
        done = true;
      } catch (...) {
        if (!context.node) throw;
        if (!error) {
          error = std::current_exception();
          location = context.node->location();
        }
        lose(program.graph, context);
        ++context.step;
        context.node = nullptr;
      }
    }
    if (timed) keep_timed_run(program, start, std::move(seconds_before));
    for (size_t i = 0; i < job.outputs.size(); ++i) {
      if (error && context.lost_outputs[i]) continue;
      write_behind(memory[i].get(), type_bytes(job.outputs[i]->type()));
      if (i < job.fallbacks.size() && job.fallbacks[i]) job.outputs[i]->follow(*job.fallbacks[i]);
      job.outputs[i]->finish(std::move(memory[i]));
    }
    if (error)
      settle_lost(job, context, error, location);
    else
      keep_copies(job, context, std::move(copies));
    program.thread_seconds =
        std::min(program.thread_seconds, (steady_seconds() - begin) * num_threads());
  } catch (...) {  // no memory, or our own mistake
    context.lost_outputs.assign(job.outputs.size(), true);
    settle_lost(job, context, std::current_exception(), 0);
  }
}

class Executor {
 public:
  Executor() : thread_([this] { loop(); }) {}

  void submit(Job job) {
    std::unique_lock lock(mutex_);
    if (jobs_.empty() && !running_ &&
        ((job.awaited && job.program->small) ||
         is_short(*job.program, job.awaited ? kHandOverSeconds : kQueueSeconds))) {
      run_here(std::move(job), lock);
      return;
    }
    changed_.wait(lock, [&] { return jobs_.size() < kMaxQueued; });
    jobs_.push_back(std::move(job));
    work_.notify_one();
  }

  /// Called by a thread that is going to wait. What others queue meanwhile is not its concern.
  void help() {
    std::unique_lock lock(mutex_);
    for (size_t left = jobs_.size(); left > 0 && !jobs_.empty() && !running_; --left) {
      if (!is_short(*jobs_.front().program, kHandOverSeconds)) return;
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      run_here(std::move(job), lock);
    }
  }

  void drain() {
    help();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return jobs_.empty() && !running_; });
  }

  /// Waits until nothing runs and keeps it so until resume().
  void pause() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return jobs_.empty() && !running_; });
    lock.release();
  }
  void resume() { mutex_.unlock(); }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      work_.notify_one();
    }
    thread_.join();
  }

 private:
  void loop() {
    bind_teams();
    std::unique_lock lock(mutex_);
    while (true) {
      // A submitting thread may be running a small program.
      work_.wait(lock, [&] { return !running_ && (stopping_ || !jobs_.empty()); });
      if (jobs_.empty()) return;
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      changed_.notify_all();
      run(std::move(job), lock);
    }
  }

  void run(Job job, std::unique_lock<std::mutex>& lock) {
    running_ = true;
    lock.unlock();
    run_job(job, arenas_);
    job = {};  // buffers are released before anyone who drains goes on
    lock.lock();
    running_ = false;
    changed_.notify_all();
  }

  /// On one thread: OpenMP would start a second team for the caller.
  void run_here(Job job, std::unique_lock<std::mutex>& lock) {
    const ThreadLimit one(1);
    run(std::move(job), lock);
    if (!jobs_.empty() || stopping_) work_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable work_;     // for the executor's thread
  std::condition_variable changed_;  // for those who wait for it
  std::deque<Job> jobs_;
  Arenas arenas_;
  bool running_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

Executor& executor();

/// A child of fork() has none of the engine's threads, so none of them may hold a lock or be at
/// work on a value then: the child could never get it.
void before_fork() {
  graph_mutex().lock();
  executor().pause();
}
void after_fork_in_parent() {
  executor().resume();
  graph_mutex().unlock();
}
void after_fork_in_child() {
  g_forked = true;
  // The mutex belongs to a thread of the parent by its number, so unlocking it would fail.
  new (&graph_mutex()) std::recursive_mutex;
  // A team of OpenMP threads does not survive either.
  set_num_threads(1);
}

/// Lives until the end of the process; its thread is joined before static objects are destroyed.
Executor& executor() {
  static Executor* instance = [] {
    auto* made = new Executor;
    pthread_atfork(
        [] {
          if (!g_forked) before_fork();
        },
        [] {
          if (!g_forked) after_fork_in_parent();
        },
        [] {
          if (!g_forked) after_fork_in_child();
        });
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

bool forked() { return g_forked; }

void drain() {
  if (!g_forked) executor().drain();
}

void help_engine() {
  if (!g_forked) executor().help();
}

void raise_unseen_error() {
  std::exception_ptr error;
  uint32_t location;
  {
    const std::lock_guard lock(unseen().mutex);
    error = std::exchange(unseen().error, nullptr);
    location = unseen().location;
  }
  if (!error) return;
  const std::string place = location_text(location);
  rethrow_with_context(error, place.empty() ? "" : " (recorded at " + place + ")");
}

void forget_unseen_error(const std::exception_ptr& error) {
  const std::lock_guard lock(unseen().mutex);
  if (unseen().error == error) unseen().error = nullptr;
}

void set_step_timing(bool on) { g_step_timing = on; }

}  // namespace ds
