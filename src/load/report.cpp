#include "load/report.h"

#include <array>
#include <cstdio>

#include "protocol/json/json.h"

namespace tidegate::load {
namespace {

namespace json = protocol::json;

struct named_percentile {
  const char* name;
  double percent;
};
constexpr std::array<named_percentile, 5> shown{
    {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p999", 99.9}, {"p9999", 99.99}}};

double in_ms(duration d) { return static_cast<double>(d.count()) / 1e6; }
double in_seconds(duration d) { return static_cast<double>(d.count()) / 1e9; }

std::string fixed(double value, int places) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", places, value);
  return text.data();
}

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.insert(0, width - text.size(), ' ');
  return text;
}

void append_row(std::string& out, std::string_view name, const histogram& values) {
  if (values.count() == 0) return;
  out.append(name).append(14 - name.size(), ' ');
  out += padded(fixed(in_ms(values.mean()), 3), 11);
  for (const named_percentile& p : shown) out += padded(fixed(in_ms(values.percentile(p.percent)), 3), 11);
  out += padded(fixed(in_ms(values.max()), 3), 11) + "\n";
}

void write_times(json::writer& writer, std::string_view name, const histogram& values) {
  writer.key(name);
  if (values.count() == 0) {
    writer.null();
    return;
  }
  writer.begin_object().member("mean", in_ms(values.mean())).member("min", in_ms(values.min()));
  for (const named_percentile& p : shown) writer.member(p.name, in_ms(values.percentile(p.percent)));
  writer.member("max", in_ms(values.max())).end_object();
}

std::int64_t whole(std::uint64_t n) { return static_cast<std::int64_t>(n); }

}  // namespace

void report::add_error(const std::string& reason) {
  ++failed;
  const bool room = errors.size() < error_kinds_max || errors.contains(reason);
  ++errors[room ? reason : "other"];
}

double report::calls_per_second() const {
  return elapsed.count() <= 0 ? 0.0 : static_cast<double>(completed) / in_seconds(elapsed);
}

std::string to_text(const report& r) {
  std::string out = std::to_string(r.completed) + " calls in " + fixed(in_seconds(r.elapsed), 2) + " s, " +
                    fixed(r.calls_per_second(), 1) + "/s, " + std::to_string(r.failed) + " failed";
  if (r.unfinished != 0) out += ", " + std::to_string(r.unfinished) + " unfinished";
  if (r.unsent != 0) out += ", " + std::to_string(r.unsent) + " due but not sent";
  if (r.events != 0) {
    out += ", " + std::to_string(r.events) + " events, " +
           fixed(static_cast<double>(r.events) / in_seconds(r.elapsed), 1) + "/s";
  }
  out += "\n\n";
  out += "ms            " + padded("mean", 11);
  for (const named_percentile& p : shown) out += padded(p.name, 11);
  out += padded("max", 11) + "\n";
  append_row(out, "latency", r.latency);
  append_row(out, "first event", r.first_event);
  append_row(out, "event gap", r.gap);
  if (!r.errors.empty()) out += "\nfailed\n";
  for (const auto& [reason, count] : r.errors)
    out += padded(std::to_string(count), 10) + "  " + reason + "\n";
  return out;
}

std::string to_json(const report& r, std::string_view url) {
  std::string text;
  json::writer writer{text};
  writer.begin_object().member("url", url).member("seconds", in_seconds(r.elapsed));
  writer.member("completed", whole(r.completed)).member("failed", whole(r.failed));
  writer.member("unfinished", whole(r.unfinished)).member("unsent", whole(r.unsent));
  writer.member("calls_per_second", r.calls_per_second());
  writer.member("bytes_received", whole(r.bytes_received)).member("events", whole(r.events));
  write_times(writer, "latency_ms", r.latency);
  write_times(writer, "first_event_ms", r.first_event);
  write_times(writer, "event_gap_ms", r.gap);
  writer.key("errors").begin_object();
  for (const auto& [reason, count] : r.errors) writer.member(reason, whole(count));
  writer.end_object().end_object();
  return text;
}

std::string to_progress(const report& r) {
  std::string out = fixed(in_seconds(r.elapsed), 1) + " s  " + std::to_string(r.completed) + " calls  " +
                    fixed(r.calls_per_second(), 0) + "/s  p99 " + fixed(in_ms(r.latency.percentile(99)), 2) +
                    " ms";
  if (r.failed != 0) out += "  " + std::to_string(r.failed) + " failed";
  return out;
}

}  // namespace tidegate::load
