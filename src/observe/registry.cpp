#include "observe/registry.h"

#include <algorithm>
#include <charconv>

#include "foundation/check.h"
#include "foundation/text.h"

namespace tidegate::observe {

namespace {

constexpr std::string_view overflow_value = "other";

std::string_view cut(std::string_view text) {
  if (text.size() <= label_value_max) return text;
  std::size_t size = label_value_max;
  // Back to the start of the character that straddles the border; at most three bytes.
  for (int i = 0; i < 3 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80; ++i) --size;
  return text.substr(0, size);
}

void append_label_value(std::string& out, std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    const foundation::utf8_step step = foundation::step_utf8(p, end);
    if (!step.valid) {
      out += "\xEF\xBF\xBD";
    } else if (*p == '\n') {
      out += "\\n";
    } else if (*p == '"' || *p == '\\') {
      out += '\\';
      out += *p;
    } else {
      out.append(p, static_cast<std::size_t>(step.length));
    }
    p += step.length;
  }
}

template <typename Value>
std::string render(const std::vector<std::string>& names, std::span<const Value> values) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += ',';
    out += names[i];
    out += "=\"";
    append_label_value(out, cut(values[i]));
    out += '"';
  }
  return out;
}

void append_natural(std::string& out, std::uint64_t n) {
  std::array<char, 24> text;
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), n);
  static_cast<void>(error);  // 24 characters hold any 64-bit integer
  out.append(text.data(), end);
}

void append_seconds(std::string& out, foundation::duration d) {
  std::array<char, 32> text;
  const double seconds = std::chrono::duration<double>{d}.count();
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), seconds);
  static_cast<void>(error);  // the shortest form of a double has at most 24 characters
  out.append(text.data(), end);
}

void append_name(std::string& out, std::string_view name, std::string_view suffix, std::string_view labels) {
  out += name;
  out += suffix;
  if (!labels.empty()) {
    out += '{';
    out += labels;
    out += '}';
  }
  out += ' ';
}

void append_bucket(std::string& out, std::string_view name, std::string_view labels,
                   const foundation::duration* bound, std::uint64_t count) {
  out += name;
  out += "_bucket{";
  out += labels;
  if (!labels.empty()) out += ',';
  out += "le=\"";
  if (bound != nullptr) {
    append_seconds(out, *bound);
  } else {
    out += "+Inf";
  }
  out += "\"} ";
  append_natural(out, count);
  out += '\n';
}

constexpr std::string_view type_of(const counter*) { return "counter"; }
constexpr std::string_view type_of(const gauge*) { return "gauge"; }
constexpr std::string_view type_of(const latency_histogram*) { return "histogram"; }

void append_metric(std::string& out, std::string_view name, std::string_view labels, const counter& metric) {
  append_name(out, name, "", labels);
  append_natural(out, metric.total());
  out += '\n';
}

void append_metric(std::string& out, std::string_view name, std::string_view labels, const gauge& metric) {
  append_name(out, name, "", labels);
  foundation::append_number(out, metric.current());
  out += '\n';
}

void append_metric(std::string& out, std::string_view name, std::string_view labels,
                   const latency_histogram& metric) {
  const latency_histogram::snapshot seen = metric.read();
  const auto bounds = metric.bounds();
  std::uint64_t cumulated = 0;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    cumulated += seen.counts[i];
    append_bucket(out, name, labels, &bounds[i], cumulated);
  }
  append_bucket(out, name, labels, nullptr, seen.count);
  append_name(out, name, "_sum", labels);
  append_seconds(out, seen.sum);
  out += '\n';
  append_name(out, name, "_count", labels);
  append_natural(out, seen.count);
  out += '\n';
}

void append_help(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
}

}  // namespace

std::size_t shard_index() noexcept {
  static std::atomic<std::size_t> next{0};
  static thread_local const std::size_t mine = next.fetch_add(1, std::memory_order_relaxed) % shard_count;
  return mine;
}

std::uint64_t counter::total() const noexcept {
  std::uint64_t sum = 0;
  for (const cell& c : cells_) sum += c.n.load(std::memory_order_relaxed);
  return sum;
}

latency_histogram::latency_histogram(std::span<const foundation::duration> bounds) : size_{bounds.size()} {
  TG_CHECK(size_ <= bounds_max && std::is_sorted(bounds.begin(), bounds.end()));
  std::copy(bounds.begin(), bounds.end(), bounds_.begin());
}

void latency_histogram::observe(foundation::duration d) noexcept {
  d = std::max(d, foundation::duration::zero());
  std::size_t bucket = 0;
  for (std::size_t i = 0; i < size_; ++i) bucket += bounds_[i] < d ? 1 : 0;
  cell& mine = cells_[shard_index()];
  mine.counts[bucket].fetch_add(1, std::memory_order_relaxed);
  mine.sum_ns.fetch_add(static_cast<std::uint64_t>(d.count()), std::memory_order_relaxed);
}

latency_histogram::snapshot latency_histogram::read() const {
  snapshot out;
  out.counts.assign(size_ + 1, 0);
  std::uint64_t sum_ns = 0;
  for (const cell& c : cells_) {
    for (std::size_t i = 0; i <= size_; ++i) out.counts[i] += c.counts[i].load(std::memory_order_relaxed);
    sum_ns += c.sum_ns.load(std::memory_order_relaxed);
  }
  // The count is what the buckets add up to, so that "+Inf" and "_count" always agree.
  for (const std::uint64_t n : out.counts) out.count += n;
  out.sum = foundation::duration{static_cast<std::int64_t>(sum_ns)};
  return out;
}

template <typename Metric>
Metric& family<Metric>::with(std::span<const std::string_view> values) {
  TG_CHECK(values.size() == labels_.size());
  const std::string key = render(labels_, values);
  {
    const std::shared_lock lock{mutex_};
    if (const auto found = metrics_.find(key); found != metrics_.end()) return *found->second;
  }
  const std::scoped_lock lock{mutex_};
  std::unique_ptr<Metric>* slot = nullptr;
  if (const auto found = metrics_.find(key); found != metrics_.end()) {
    slot = &found->second;
  } else if (labels_.empty() || metrics_.size() < label_sets_max) {
    slot = &metrics_[key];
  } else {
    const std::vector<std::string_view> other(labels_.size(), overflow_value);
    slot = &metrics_[render(labels_, std::span{other})];
  }
  if (*slot == nullptr) *slot = make_();
  return **slot;
}

template <typename Metric>
std::size_t family<Metric>::size() const {
  const std::shared_lock lock{mutex_};
  return metrics_.size();
}

template <typename Metric>
void family<Metric>::expose(std::string& out) const {
  const std::shared_lock lock{mutex_};
  out += "# HELP ";
  out += name_;
  out += ' ';
  append_help(out, help_);
  out += "\n# TYPE ";
  out += name_;
  out += ' ';
  out += type_of(static_cast<const Metric*>(nullptr));
  out += '\n';
  for (const auto& [labels, metric] : metrics_) append_metric(out, name_, labels, *metric);
}

template class family<counter>;
template class family<gauge>;
template class family<latency_histogram>;

counter_by::counter_by(family<counter>& source, std::initializer_list<std::string_view> fixed)
    : source_{source}, fixed_{fixed.begin(), fixed.end()} {}

counter& counter_by::of(std::string_view last) {
  for (const auto& slot : table_) {
    const entry* const known = slot.load(std::memory_order_acquire);
    if (known == nullptr) break;
    if (known->last == last) return known->counted;
  }
  std::vector<std::string_view> values{fixed_.begin(), fixed_.end()};
  values.push_back(last);
  counter& counted = source_.with(values);
  const std::scoped_lock lock{mutex_};
  const bool known =
      std::any_of(owned_.begin(), owned_.end(), [&](const auto& e) { return e->last == last; });
  if (!known && owned_.size() < entries_max && last.size() <= label_value_max) {
    owned_.push_back(std::make_unique<entry>(std::string{last}, counted));
    table_[owned_.size() - 1].store(owned_.back().get(), std::memory_order_release);
  }
  return counted;
}

template <typename Metric>
family<Metric>& registry::keep(std::unique_ptr<family<Metric>> made) {
  const std::shared_ptr<family<Metric>> kept{std::move(made)};
  families_.push_back(kept);
  exposers_.push_back([kept](std::string& out) { kept->expose(out); });
  return *kept;
}

family<counter>& registry::counters(std::string name, std::string help, std::vector<std::string> labels) {
  return keep(std::make_unique<family<counter>>(std::move(name), std::move(help), std::move(labels),
                                                [] { return std::make_unique<counter>(); }));
}

family<gauge>& registry::gauges(std::string name, std::string help, std::vector<std::string> labels) {
  return keep(std::make_unique<family<gauge>>(std::move(name), std::move(help), std::move(labels),
                                              [] { return std::make_unique<gauge>(); }));
}

family<latency_histogram>& registry::latencies(std::string name, std::string help,
                                               std::vector<foundation::duration> bounds,
                                               std::vector<std::string> labels) {
  return keep(std::make_unique<family<latency_histogram>>(
      std::move(name), std::move(help), std::move(labels),
      [bounds = std::move(bounds)] { return std::make_unique<latency_histogram>(bounds); }));
}

std::string registry::expose() const {
  std::string out;
  for (const auto& expose_family : exposers_) expose_family(out);
  return out;
}

}  // namespace tidegate::observe
