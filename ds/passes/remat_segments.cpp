// SPDX-License-Identifier: Apache-2.0
#include "ds/passes/remat_segments.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "ds/ir/cost.h"

namespace ds {
namespace {

constexpr double kAny = std::numeric_limits<double>::infinity();
constexpr double kNothing = -1;
// Of ResNet-50's products, those of 64 input channels are below 60, of 128 below 100, of 256 below
// 200; a transformer's are at half its width.
constexpr double kDensities[] = {kNothing, 30, 60, 100, 200, 450, kAny};
constexpr size_t kMaxCuts = 96;
constexpr size_t kResolution = 1024;  // of the limit
// The machine of FrontierPoint (ds/engine/memory.h).
constexpr double kFlopRate = 100e9, kByteRate = 20e9;

/// A kept value that is not small.
struct Item {
  int at, output;
  int last_early;
  int first_late, last_late;
  double bytes;
  double density;
  bool swept;

  std::pair<int, int> key() const { return {at, output}; }
};

/// An input of a node of the forward pass.
struct Edge {
  int at;
  int item;  // its index, or one of:
};
constexpr int kStays = -1;   // in memory in any case
constexpr int kFollow = -2;  // not read late: computed again with its reader

Value memory_of(Value value) {
  while (is_view(*value.node) && !value.node->inputs().empty()) value = value.node->input(0);
  return value;
}

/// Of a segment between two cuts when it drops what takes up to a density.
struct Way {
  double kept = 0;
  double seconds = 0;
};

}  // namespace

class SegmentPlanner::Planner {
 public:
  Planner(const Step& step, const std::set<Step::Key>& swept) : step_(step) {
    seen_.resize(step.order.size(), 0);
    list_items(swept);
    list_edges();
    find_gradients();
    find_cuts();
    const size_t cuts = ends_.size();
    work_.resize(cuts * cuts);
    ways_.resize(cuts * cuts);
    for (size_t i = 0; i < cuts; ++i)
      for (size_t j = i; j < cuts; ++j) measure(i, j);
    find_limits();
  }

  std::vector<Segment> run(double depth) const {
    if (items_.empty()) return {};
    return cheapest(most_ * std::pow(least_ / most_, depth) * (1 + 1e-9));
  }

 private:
  static constexpr size_t kWays = std::size(kDensities);

  size_t index_of(size_t first, size_t last) const { return first * ends_.size() + last; }
  int start_of(size_t segment) const { return segment == 0 ? -1 : ends_[segment - 1]; }

  void list_items(const std::set<Step::Key>& swept) {
    for (const Value& value : step_.kept) {
      if (step_.small(value)) continue;
      const Step::Key key = Step::key_of(value);
      const auto early = step_.early_uses.find(key);
      const int at = step_.position.at(value.node.get());
      items_.push_back({at, value.index,
                        early == step_.early_uses.end() ? at : early->second.back(),
                        step_.first_late_use.at(key), step_.last_late_use.at(key), bytes_of(value),
                        step_.density(value), swept.count(key) > 0});
    }
    std::sort(items_.begin(), items_.end(),
              [](const Item& a, const Item& b) { return a.key() < b.key(); });
  }

  int item_of(const Value& value) const {
    const std::pair<int, int> key{step_.position.at(value.node.get()), value.index};
    const auto found = std::partition_point(items_.begin(), items_.end(),
                                            [&](const Item& item) { return item.key() < key; });
    if (found != items_.end() && found->key() == key)
      return static_cast<int>(found - items_.begin());
    const bool stays = is_source(*value.node) || step_.outputs.count(Step::key_of(value)) > 0 ||
                       step_.first_late_use.count(Step::key_of(value)) > 0;
    return stays ? kStays : kFollow;
  }

  void list_edges() {
    edges_.resize(step_.order.size());
    for (size_t i = 0; i < edges_.size(); ++i) {
      if (step_.is_late(step_.order[i].get())) continue;
      for (const Value& input : step_.order[i]->inputs()) {
        const int item = item_of(input);
        if (item != kStays) edges_[i].push_back({step_.position.at(input.node.get()), item});
      }
    }
  }

  const NodePtr& node_at(int at) const { return step_.order[static_cast<size_t>(at)]; }

  /// Bytes of gradients that are live at each position: of those that are stored, not fused into
  /// what reads them.
  void find_gradients() {
    std::map<Step::Key, int> last;
    std::set<Step::Key> stored;
    for (size_t i = 0; i < step_.order.size(); ++i) {
      const Node& node = *step_.order[i];
      if (is_view(node)) continue;
      for (const Value& input : node.inputs()) {
        const Value memory = memory_of(input);
        if (!step_.is_late(memory.node.get())) continue;
        last[Step::key_of(memory)] = static_cast<int>(i);
        if (!is_elementwise(node) || !is_elementwise(*memory.node))
          stored.insert(Step::key_of(memory));
      }
    }
    for (const auto& [node, index] : step_.outputs)
      stored.erase(Step::key_of(memory_of({node_at(step_.position.at(node)), index})));
    gradients_.resize(step_.order.size() + 1, 0);
    for (const auto& [node, index] : stored) {
      const int at = step_.position.at(node);
      const double bytes = bytes_of({node_at(at), index});
      gradients_[static_cast<size_t>(at)] += bytes;
      gradients_[static_cast<size_t>(last.at({node, index})) + 1] -= bytes;
    }
    for (size_t i = 1; i < gradients_.size(); ++i) gradients_[i] += gradients_[i - 1];
  }

  /// Between two items where least is carried over, and behind the last.
  void find_cuts() {
    const std::vector<double> crossing = step_.crossing();
    std::vector<int> all;
    for (size_t i = 0; i + 1 < items_.size(); ++i) {
      int best = items_[i].at;
      if (items_[i + 1].at == best) continue;
      for (int at = best; at < items_[i + 1].at; ++at)
        if (!step_.is_late(node_at(at).get()) &&
            crossing[static_cast<size_t>(at)] <= crossing[static_cast<size_t>(best)])
          best = at;
      all.push_back(best);
    }
    // Of as many neighbours as there are too many, the narrowest.
    const size_t group = all.size() / kMaxCuts + 1;
    for (size_t i = 0; i < all.size(); i += group)
      ends_.push_back(*std::min_element(
          all.begin() + static_cast<std::ptrdiff_t>(i),
          all.begin() + static_cast<std::ptrdiff_t>(std::min(i + group, all.size())),
          [&](int a, int b) {
            return crossing[static_cast<size_t>(a)] < crossing[static_cast<size_t>(b)];
          }));
    if (!items_.empty()) ends_.push_back(items_.back().at);
  }

  /// Items of the segments from `first` to `last`.
  std::pair<size_t, size_t> items_of(size_t first, size_t last) const {
    const auto begin = std::partition_point(
        items_.begin(), items_.end(), [&](const Item& item) { return item.at <= start_of(first); });
    const auto end = std::partition_point(begin, items_.end(),
                                          [&](const Item& item) { return item.at <= ends_[last]; });
    return {begin - items_.begin(), end - items_.begin()};
  }

  /// The most that is in memory in the backward pass of a segment beside what earlier ones keep.
  double work(size_t begin, size_t end, bool again) const {
    std::vector<std::pair<int, double>> uses;  // last ones of the segment's values
    int at = std::numeric_limits<int>::max();
    double live = 0, most = 0;
    for (size_t i = begin; i < end; ++i) {
      at = std::min(at, items_[i].first_late);
      if (!again && items_[i].swept) continue;
      uses.emplace_back(items_[i].last_late, items_[i].bytes);
      live += items_[i].bytes;
    }
    std::sort(uses.begin(), uses.end());
    for (const auto& [until, bytes] : uses) {
      for (; at <= until; ++at) most = std::max(most, live + gradients_[static_cast<size_t>(at)]);
      live -= bytes;
    }
    return most;
  }

  void measure(size_t first, size_t last) {
    const auto [begin, end] = items_of(first, last);
    std::pair<double, double>& work = work_[index_of(first, last)];
    work = {this->work(begin, end, false), this->work(begin, end, true)};
    std::array<Way, kWays>& ways = ways_[index_of(first, last)];
    for (size_t way = 0; way < kWays; ++way) {
      const bool drops_more =
          way < 2 ||
          std::any_of(items_.begin() + static_cast<std::ptrdiff_t>(begin),
                      items_.begin() + static_cast<std::ptrdiff_t>(end), [&](const Item& item) {
                        return item.density > kDensities[way - 1] &&
                               item.density <= kDensities[way];
                      });
      ways[way] = drops_more ? way_of(first, last, begin, end, kDensities[way]) : ways[way - 1];
    }
  }

  /// The first visit of a node in this round.
  bool visit(int at) {
    int& seen = seen_[static_cast<size_t>(at)];
    return std::exchange(seen, round_) != round_;
  }

  /// Sweeps compute the item from what stays, without any that crosses into the segment.
  bool swept_within(const Item& item, size_t first) {
    if (!item.swept) return false;
    std::vector<int> stack{item.at};
    ++round_;
    while (!stack.empty()) {
      const int at = stack.back();
      stack.pop_back();
      for (const Edge& edge : edges_[static_cast<size_t>(at)]) {
        if (edge.item != kFollow) continue;
        if (edge.at <= start_of(first)) return false;
        if (visit(edge.at)) stack.push_back(edge.at);
      }
    }
    return true;
  }

  /// What the segment of the items from `begin` to `end` keeps, and how long the rest takes.
  Way way_of(size_t first, size_t last, size_t begin, size_t end, double density) {
    Way way;
    std::vector<int> stack;
    const auto drops = [&](const Item& item) {
      return item.density <= density && item.last_early <= ends_[last];
    };
    for (size_t i = begin; i < end; ++i) {
      const Item& item = items_[i];
      if (drops(item)) {
        if (is_elementwise(*node_at(item.at))) way.seconds += 2 * item.bytes / kByteRate;
        stack.push_back(item.at);
      } else if (density != kNothing || !swept_within(item, first) ||
                 item.last_early > ends_[last]) {
        way.kept += item.bytes;
      }
    }
    ++round_;
    while (!stack.empty()) {
      const int at = stack.back();
      stack.pop_back();
      if (!visit(at)) continue;
      const Node& node = *node_at(at);
      if (!is_elementwise(node)) {
        const Cost cost = node_cost(node);
        way.seconds += std::max(cost.flops / kFlopRate, cost.bytes / kByteRate);
      }
      for (const Edge& edge : edges_[static_cast<size_t>(at)]) {
        if (edge.at <= start_of(first)) {
          if (edge.item == kFollow && visit(edge.at)) way.kept += bytes_of({node_at(edge.at), 0});
        } else if (edge.item == kFollow || drops(items_[static_cast<size_t>(edge.item)])) {
          stack.push_back(edge.at);
        }
      }
    }
    return way;
  }

  /// What the step needs when nothing is computed again, and the least it can do with.
  void find_limits() {
    double low = 0;  // too little
    most_ = least_ = whole();
    for (int round = 0; round < 12; ++round) {
      const double middle = (low + least_) / 2;
      (feasible(middle) ? least_ : low) = middle;
    }
  }

  /// The most that is in memory when nothing is computed again.
  double whole() const {
    double live = 0, most = 0;
    std::vector<double> change(gradients_.size() + 1, 0);
    for (const Item& item : items_) {
      change[static_cast<size_t>(item.at)] += item.bytes;
      change[static_cast<size_t>(item.last_late) + 1] -= item.bytes;
    }
    for (size_t at = 0; at < gradients_.size(); ++at) {
      live += change[at];
      most = std::max(most, live + gradients_[at]);
    }
    return most;
  }

  double work_of(size_t first, size_t last, size_t way) const {
    const auto& work = work_[index_of(first, last)];
    return way == 0 ? work.first : work.second;
  }

  /// Some way stays within the limit: the least kept before each cut decides.
  bool feasible(double limit) const {
    std::vector<double> least(ends_.size() + 1, kAny);
    least[0] = 0;
    for (size_t i = 0; i < ends_.size(); ++i)
      for (size_t j = i; j < ends_.size(); ++j)
        for (size_t way = 0; way < kWays; ++way)
          if (least[i] + work_of(i, j, way) <= limit)
            least[j + 1] = std::min(least[j + 1], least[i] + ways_[index_of(i, j)][way].kept);
    return least.back() < kAny;
  }

  /// A way to run the segments before a cut.
  struct Label {
    double kept = kAny, seconds = kAny;
    size_t cut = 0, label = 0;  // where the last segment began
    size_t way = 0;
  };

  /// Ways to run the segments before one cut: of those that keep about as much, the fastest.
  class Labels {
   public:
    void add(const Label& label, double limit) {
      if (label.kept < least_.kept) least_ = label;
      buckets_.resize(kResolution + 1);
      Label& alike = buckets_[static_cast<size_t>(label.kept / limit * kResolution)];
      if (label.seconds < alike.seconds) alike = label;
    }

    /// By rising kept bytes, only what takes less time than all before.
    std::vector<Label> best() const {
      std::vector<Label> result;
      if (least_.kept < kAny) result.push_back(least_);
      for (const Label& label : buckets_)
        if (label.seconds < kAny && label.seconds < result.back().seconds) result.push_back(label);
      return result;
    }

   private:
    Label least_;
    std::vector<Label> buckets_;
  };

  std::vector<Segment> cheapest(double limit) const {
    std::vector<Labels> open(ends_.size() + 1);
    std::vector<std::vector<Label>> labels(ends_.size() + 1);
    open[0].add({0, 0}, limit);
    for (size_t i = 0; i <= ends_.size(); ++i) {
      labels[i] = std::exchange(open[i], {}).best();
      for (size_t j = i; j < ends_.size(); ++j)
        for (size_t way = 0; way < kWays; ++way) {
          const Way& made = ways_[index_of(i, j)][way];
          const double room = limit - std::max(work_of(i, j, way), made.kept);
          for (size_t l = 0; l < labels[i].size() && labels[i][l].kept <= room; ++l)
            open[j + 1].add(
                {labels[i][l].kept + made.kept, labels[i][l].seconds + made.seconds, i, l, way},
                limit);
        }
    }
    std::vector<Segment> segments;
    if (labels.back().empty()) return segments;
    const auto best =
        std::min_element(labels.back().begin(), labels.back().end(),
                         [](const Label& a, const Label& b) { return a.seconds < b.seconds; });
    for (size_t at = ends_.size(), label = static_cast<size_t>(best - labels.back().begin());
         at > 0;) {
      const Label& last = labels[at][label];
      segments.push_back({ends_[at - 1], kDensities[last.way]});
      at = last.cut;
      label = last.label;
    }
    std::reverse(segments.begin(), segments.end());
    return segments;
  }

  const Step& step_;
  std::vector<Item> items_;  // by place in the order
  std::vector<std::vector<Edge>> edges_;
  std::vector<double> gradients_;
  std::vector<int> ends_;
  std::vector<std::pair<double, double>> work_;  // all kept, and computed again
  std::vector<std::array<Way, kWays>> ways_;
  std::vector<int> seen_;
  int round_ = 0;
  double most_ = 0, least_ = 0;  // bytes
};

SegmentPlanner::SegmentPlanner(const Step& step, const std::set<Step::Key>& swept)
    : planner_(std::make_unique<Planner>(step, swept)) {}
SegmentPlanner::~SegmentPlanner() = default;

std::vector<Segment> SegmentPlanner::best(double depth) const { return planner_->run(depth); }

}  // namespace ds
