#include "mock/markers.h"

#include <algorithm>
#include <array>
#include <utility>

#include "foundation/text.h"
#include "mock/script.h"
#include "protocol/json/json.h"

namespace tidegate::mock {
namespace {

constexpr std::size_t tool_calls_max = 64;
constexpr std::uint64_t wait_ms_max = 24ULL * 3600 * 1000;

struct option {
  std::string_view name;
  std::string_view value;  // empty: none
  std::optional<std::uint64_t> number() const { return foundation::parse_u64(value); }
};

std::vector<option> split_options(std::string_view text) {
  std::vector<option> out;
  while (!(text = foundation::trim(text)).empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(word.size());
    const std::size_t equals = word.find('=');
    out.push_back({word.substr(0, equals),
                   equals == std::string_view::npos ? std::string_view{} : word.substr(equals + 1)});
  }
  return out;
}

milliseconds wait_of(std::uint64_t ms) {
  return milliseconds{static_cast<std::int64_t>(std::min(ms, wait_ms_max))};
}

// What the first word asks for; false where it means nothing.
bool read_kind(const option& first, behavior& b) {
  constexpr std::array<std::pair<std::string_view, behavior_kind>, 4> counted{
      {{"cut", behavior_kind::cut},
       {"stall", behavior_kind::stall},
       {"garbage", behavior_kind::garbage},
       {"bad-json", behavior_kind::garbage}}};
  if (first.value.empty()) {
    if (auto demo = demo_behavior(first.name)) {
      b = std::move(*demo);
      return true;
    }
  }
  for (const auto& [name, kind] : counted) {
    if (first.name != name) continue;
    b.kind = kind;
    b.after = first.number();
    b.garbage_in_frame = name == "bad-json";
    return first.value.empty() || b.after;
  }
  if (first.name == "hang") {
    b.kind = behavior_kind::hang;
    return true;
  }
  if (first.name == "reset") {
    b.kind = behavior_kind::reset;
    b.after = first.number();
    return first.value.empty() || b.after;
  }
  if (first.name == "in-stream-error") {
    b.kind = behavior_kind::in_stream_error;
    if (!first.value.empty()) b.stream_error = first.value;
    return true;
  }
  const auto number = first.number();
  if (!number) return false;
  if (first.name == "status") {
    b.kind = behavior_kind::status;
    b.status = static_cast<int>(std::min<std::uint64_t>(*number, 1000));
    return b.status >= 200 && b.status <= 599;
  }
  if (first.name == "delay") {
    b.kind = behavior_kind::delay;
    b.delay = wait_of(*number);
    return true;
  }
  if (first.name == "slow") {
    b.kind = behavior_kind::slow;
    b.bytes_per_second = *number;
    return *number > 0;
  }
  return false;
}

std::optional<behavior> read_behavior(std::string_view text) {
  const std::vector<option> options = split_options(text);
  behavior b;
  if (options.empty() || !read_kind(options.front(), b)) return std::nullopt;
  for (std::size_t i = 1; i < options.size(); ++i) {
    const auto number = options[i].number();
    if (!number) return std::nullopt;
    const std::string_view name = options[i].name;
    if (name == "after") {
      b.after = *number;
    } else if (name == "interval") {
      b.interval = wait_of(*number);
    } else if (name == "delay") {
      b.delay = wait_of(*number);
    } else if (name == "retry-after" || name == "retry-after-ms") {
      b.headers.push_back({std::string{name}, std::string{options[i].value}});
    } else {
      return std::nullopt;
    }
  }
  return b;
}

// The end of a marker's inside. Arguments of a tool call may hold "]]" themselves: the first end that leaves
// JSON.
std::size_t find_end(std::string_view text, std::size_t begin, bool is_tool) {
  const std::size_t first = text.find("]]", begin);
  if (!is_tool || first == std::string_view::npos) return first;
  const std::size_t brace = text.find('{', begin);
  if (brace > first) return first;
  constexpr int tries_max = 64;
  std::size_t end = first;
  for (int i = 0; i < tries_max && end != std::string_view::npos; ++i) {
    if (json::validate(foundation::trim(text.substr(brace, end - brace)))) return end;
    end = text.find("]]", end + 1);
  }
  return first;
}

bool read_tool(std::string_view inside, markers& out) {
  if (out.tool_calls.size() >= tool_calls_max) return false;
  inside = foundation::trim(inside);
  const std::string_view name = inside.substr(0, inside.find_first_of(" {"));
  const std::string_view arguments = foundation::trim(inside.substr(name.size()));
  if (name.empty()) return false;
  out.tool_calls.push_back({std::string{name}, std::string{arguments}});
  return true;
}

bool read_marker(std::string_view inside, markers& out) {
  if (inside == "system") return out.system = true;
  if (inside == "echo-request") return out.echo_request = true;
  if (inside.starts_with("tool:")) return read_tool(inside.substr(5), out);
  if (!inside.starts_with("mock:")) return false;
  auto asked = read_behavior(inside.substr(5));
  if (!asked) return false;
  out.asked = std::move(*asked);
  return true;
}

}  // namespace

markers read_markers(std::string_view text) {
  markers out;
  std::string rest;
  std::size_t at = 0;
  for (;;) {
    const std::size_t open = text.find("[[", at);
    rest += text.substr(at, open - at);
    if (open == std::string_view::npos) break;
    const std::size_t end = find_end(text, open + 2, text.substr(open).starts_with("[[tool:"));
    if (end != std::string_view::npos && read_marker(text.substr(open + 2, end - open - 2), out)) {
      at = end + 2;
    } else {
      rest += '[';
      at = open + 1;
    }
  }
  out.rest = foundation::trim(rest);
  return out;
}

}  // namespace tidegate::mock
