#include "mock/script.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <utility>

#include "foundation/text.h"
#include "mock/recording.h"

namespace tidegate::mock {
namespace {

constexpr std::uint64_t count_max = 1'000'000'000;
constexpr std::uint64_t filler_max = 256U << 20;
constexpr std::uint64_t wait_ms_max = 24ULL * 3600 * 1000;
constexpr std::size_t steps_max = 10'000;

template <class T>
struct named {
  std::string_view name;
  T value;
};

constexpr std::array<named<behavior_kind>, 12> kinds{{{"ok", behavior_kind::ok},
                                                      {"status", behavior_kind::status},
                                                      {"delay", behavior_kind::delay},
                                                      {"hang", behavior_kind::hang},
                                                      {"reset", behavior_kind::reset},
                                                      {"refuse", behavior_kind::refuse},
                                                      {"cut", behavior_kind::cut},
                                                      {"stall", behavior_kind::stall},
                                                      {"garbage", behavior_kind::garbage},
                                                      {"slow", behavior_kind::slow},
                                                      {"replay", behavior_kind::replay},
                                                      {"in_stream_error", behavior_kind::in_stream_error}}};
constexpr std::array<named<split_mode>, 4> splits{{{"whole", split_mode::whole},
                                                   {"event", split_mode::event},
                                                   {"random", split_mode::random},
                                                   {"byte", split_mode::byte}}};
constexpr std::array<std::string_view, 4> finishes{"stop", "length", "tool_use", "content_filter"};
constexpr std::array<std::string_view, 4> stream_errors{"overloaded", "rate-limit", "invalid", "api"};

// A header that reaches the wire as one line (RFC 9110 5.5).
bool is_header(std::string_view name, std::string_view value) {
  const auto token = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view{"!#$%&'*+-.^_`|~"}.find(c) != std::string_view::npos;
  };
  const auto plain = [](char c) { return c != '\r' && c != '\n' && c != '\0'; };
  return !name.empty() && std::ranges::all_of(name, token) && std::ranges::all_of(value, plain);
}

class reader {
 public:
  explicit reader(const file_reader& read) : read_{read} {}

  std::optional<script_error> take_error() { return std::exchange(error_, std::nullopt); }

  script_change change(json::value body) {
    script_change out;
    if (body.is_array()) {
      out.replace_steps = true;
      steps(body, out.steps);
    } else if (!body.is_object()) {
      complain("must be an object");
    } else if (body.find("behavior")) {
      out.steps.push_back(one_step(body));
    } else {
      for (const json::member& m : body.members()) sections(m, out);
    }
    return out;
  }

 private:
  void sections(const json::member& m, script_change& out) {
    const scope at{*this, m.key()};
    if (m.key_is("steps") || m.key_is("step")) {
      out.replace_steps = true;
      steps(m.content, out.steps);
    } else if (m.key_is("append")) {
      steps(m.content, out.steps);
    } else if (m.key_is("default")) {
      if (!m.content.is_object()) return complain("must be an object");
      step read = one_step(m.content);
      if (read.does->kind == behavior_kind::refuse) complain("refuse cannot be the default");
      out.fallback = std::move(read.does);
    } else {
      complain("is not known here");
    }
  }

  void steps(json::value list, std::vector<step>& out) {
    if (!list.is_array()) return complain("must be an array");
    std::size_t index = 0;
    for (const json::value each : list.elements()) {
      const scope at{*this, index++};
      if (index > steps_max) return complain("is one step too many");
      if (!each.is_object()) return complain("must be an object");
      out.push_back(one_step(each));
    }
  }

  step one_step(json::value object) {
    step out;
    behavior b;
    bool named_kind = false;
    for (const json::member& m : object.members()) {
      const scope at{*this, m.key()};
      if (m.content.is_null()) continue;
      if (m.key_is("behavior")) {
        named_kind = true;
        choose(m.content, kinds, b.kind);
      } else if (m.key_is("count")) {
        out.count = m.content.equals("forever") ? 0 : natural(m.content, count_max);
      } else if (m.key_is("match")) {
        match(m.content, out.match);
      } else if (!fault_field(m, b) && !answer_field(m, b)) {
        complain("is not known here");
      }
    }
    if (!named_kind) complain("needs a \"behavior\"");
    finish_step(b);
    out.does = std::make_shared<const behavior>(std::move(b));
    return out;
  }

  // What only makes sense together.
  void finish_step(behavior& b) {
    if (b.kind == behavior_kind::slow && b.bytes_per_second == 0) complain("slow needs bytes_per_second");
    if (b.kind == behavior_kind::delay && b.delay == milliseconds{0}) b.delay = milliseconds{600};
    if (b.kind == behavior_kind::status && b.status == 200 && !b.body) b.status = 500;
    if (b.kind == behavior_kind::replay && !b.replay && !error_) complain("replay needs a file");
    if (b.events > filler_max / std::max<std::uint64_t>(b.chunk_bytes, 1))
      complain("asks for more than 256 MiB");
  }

  bool fault_field(const json::member& m, behavior& b) {
    const json::value v = m.content;
    if (m.key_is("status")) {
      b.status = static_cast<int>(natural(v, 599));
      if (b.status < 200) complain("must be from 200 to 599");
    } else if (m.key_is("headers")) {
      headers(v, b.headers);
    } else if (m.key_is("body")) {
      b.body = v.is_string() ? string(v) : std::string{v.raw()};
    } else if (m.key_is("message")) {
      b.message = string(v);
    } else if (m.key_is("delay_ms")) {
      b.delay = wait(v);
    } else if (m.key_is("duration_ms")) {
      b.refuse_for = std::max(wait(v), milliseconds{1});
    } else if (m.key_is("after_events") || m.key_is("after")) {
      b.after = natural(v, count_max);
    } else if (m.key_is("garbage")) {
      constexpr std::array<named<bool>, 2> forms{{{"framing", false}, {"sse", true}}};
      choose(v, forms, b.garbage_in_frame);
    } else if (m.key_is("error")) {
      b.stream_error = one_of(v, stream_errors);
    } else if (m.key_is("bytes_per_second")) {
      b.bytes_per_second = natural(v, count_max);
    } else if (m.key_is("file")) {
      file(v, b);
    } else if (m.key_is("split")) {
      choose(v, splits, b.split);
    } else if (m.key_is("seed")) {
      b.seed = natural(v, INT64_MAX);
    } else {
      return false;
    }
    return true;
  }

  bool answer_field(const json::member& m, behavior& b) {
    const json::value v = m.content;
    if (m.key_is("text")) {
      b.text = string(v);
    } else if (m.key_is("reasoning")) {
      b.reasoning = string(v);
    } else if (m.key_is("tool_calls")) {
      calls(v, b.tool_calls);
    } else if (m.key_is("finish_reason")) {
      b.finish = one_of(v, finishes);
    } else if (m.key_is("usage")) {
      usage(v, b.usage);
    } else if (m.key_is("pad_bytes")) {
      b.pad_bytes = natural(v, filler_max);
    } else if (m.key_is("events")) {
      b.events = natural(v, filler_max);
    } else if (m.key_is("chunk_bytes")) {
      b.chunk_bytes = std::max<std::uint64_t>(natural(v, 1U << 20), 1);
    } else if (m.key_is("chunk_chars")) {
      b.chunk_chars = std::max<std::uint64_t>(natural(v, 1U << 20), 1);
    } else if (m.key_is("interval_ms")) {
      b.interval = wait(v);
    } else {
      return false;
    }
    return true;
  }

  void match(json::value v, match_rule& out) {
    if (!v.is_object()) return complain("must be an object");
    for (const json::member& m : v.members()) {
      const scope at{*this, m.key()};
      if (m.key_is("path")) {
        out.path = string(m.content);
      } else if (m.key_is("model")) {
        out.model = string(m.content);
      } else if (m.key_is("header")) {
        headers(m.content, out.headers);
      } else if (m.key_is("body_contains")) {
        out.body_contains = string(m.content);
      } else {
        complain("is not known here");
      }
    }
  }

  void headers(json::value v, std::vector<header_field>& out) {
    if (!v.is_object()) return complain("must be an object");
    for (const json::member& m : v.members()) {
      const scope at{*this, m.key()};
      header_field field{m.key(), m.content.is_number() ? std::string{m.content.raw()} : string(m.content)};
      if (!is_header(field.name, field.value)) return complain("is no header");
      if (foundation::iequals(field.name, "content-length") ||
          foundation::iequals(field.name, "transfer-encoding")) {
        return complain("is not for scripts to set: framing follows from the behavior");
      }
      out.push_back(std::move(field));
    }
  }

  void calls(json::value v, std::vector<scripted_call>& out) {
    if (!v.is_array()) return complain("must be an array");
    std::size_t index = 0;
    for (const json::value each : v.elements()) {
      const scope at{*this, index++};
      if (!each.is_object()) return complain("must be an object");
      scripted_call call{"", "{}"};
      for (const json::member& m : each.members()) {
        const scope inner{*this, m.key()};
        if (m.key_is("name")) {
          call.name = string(m.content);
        } else if (m.key_is("arguments")) {
          call.arguments = m.content.is_string() ? string(m.content) : std::string{m.content.raw()};
        } else {
          complain("is not known here");
        }
      }
      if (call.name.empty()) complain("needs a name");
      out.push_back(std::move(call));
    }
  }

  void usage(json::value v, usage_override& out) {
    if (!v.is_object()) return complain("must be an object");
    for (const json::member& m : v.members()) {
      const scope at{*this, m.key()};
      std::optional<std::int64_t>* const target = m.key_is("prompt")        ? &out.prompt
                                                  : m.key_is("completion")  ? &out.completion
                                                  : m.key_is("cached")      ? &out.cached
                                                  : m.key_is("cache_write") ? &out.cache_write
                                                  : m.key_is("reasoning")   ? &out.reasoning
                                                                            : nullptr;
      if (target == nullptr) return complain("is not known here");
      *target = static_cast<std::int64_t>(natural(m.content, INT64_MAX));
    }
  }

  void file(json::value v, behavior& b) {
    const std::string name = string(v);
    const auto content = read_(name);
    if (!content) return complain("cannot be read: " + content.error());
    auto parsed = parse_recording(*content);
    if (!parsed) return complain(parsed.error());
    b.replay = std::make_shared<const recording>(std::move(*parsed));
  }

  std::string string(json::value v) {
    auto text = v.as_string();
    if (!text) complain("must be a string");
    return std::move(text).value_or(std::string{});
  }

  std::uint64_t natural(json::value v, std::uint64_t max) {
    const auto n = v.as_int();
    if (n && *n >= 0 && static_cast<std::uint64_t>(*n) <= max) return static_cast<std::uint64_t>(*n);
    complain("must be a whole number from 0 to " + std::to_string(max));
    return 0;
  }

  milliseconds wait(json::value v) {
    return milliseconds{static_cast<std::int64_t>(natural(v, wait_ms_max))};
  }

  template <class T, std::size_t N>
  void choose(json::value v, const std::array<named<T>, N>& choices, T& out) {
    std::string known;
    for (const named<T>& each : choices) {
      if (v.equals(each.name)) {
        out = each.value;
        return;
      }
      known += (known.empty() ? "" : ", ") + std::string{each.name};
    }
    complain("must be one of " + known);
  }

  template <std::size_t N>
  std::string one_of(json::value v, const std::array<std::string_view, N>& choices) {
    std::string known;
    for (const std::string_view each : choices) {
      if (v.equals(each)) return std::string{each};
      known += (known.empty() ? "" : ", ") + std::string{each};
    }
    complain("must be one of " + known);
    return {};
  }

  // The place of what is being read; for the error's path only.
  class scope {
   public:
    scope(reader& owner, std::string key) : owner_{owner} { owner_.path_.push_back({std::move(key), 0}); }
    scope(reader& owner, std::size_t index) : owner_{owner} { owner_.path_.push_back({{}, index}); }
    ~scope() { owner_.path_.pop_back(); }
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;

   private:
    reader& owner_;
  };

  void complain(std::string message) {
    if (!error_) error_ = script_error{path_, std::move(message)};
  }

  const file_reader& read_;
  std::vector<path_part> path_;
  std::optional<script_error> error_;
};

}  // namespace

std::string script_error::text() const {
  std::string out;
  for (const path_part& part : path) {
    if (part.key.empty()) {
      out += '[' + std::to_string(part.index) + ']';
    } else {
      out += (out.empty() ? "" : ".") + part.key;
    }
  }
  return out.empty() ? message : out + ": " + message;
}

std::expected<std::string, std::string> read_system_file(const std::string& path) {
  constexpr std::size_t file_max = 64U << 20;
  std::ifstream in{path, std::ios::binary};
  if (!in) return std::unexpected{"cannot open " + path};
  std::string content;
  std::array<char, 65536> block;
  while (in.read(block.data(), block.size()) || in.gcount() > 0) {
    content.append(block.data(), static_cast<std::size_t>(in.gcount()));
    if (content.size() > file_max) return std::unexpected{path + " is larger than 64 MiB"};
  }
  if (in.bad()) return std::unexpected{"cannot read " + path};
  return content;
}

file_reader reader_beside(std::string_view file) {
  const std::size_t slash = file.rfind('/');
  std::string folder{slash == std::string_view::npos ? std::string_view{} : file.substr(0, slash + 1)};
  return [folder = std::move(folder)](const std::string& path) {
    return read_system_file(path.starts_with('/') ? path : folder + path);
  };
}

std::expected<script_change, script_error> read_change(json::value body, const file_reader& read) {
  reader r{read};
  script_change out = r.change(body);
  if (auto error = r.take_error()) return std::unexpected{std::move(*error)};
  return out;
}

std::optional<behavior> demo_behavior(std::string_view name) {
  behavior b;
  b.chunk_chars = 6;
  b.interval = milliseconds{40};
  if (name == "success") return b;
  if (name == "delay") {
    b.kind = behavior_kind::delay;
    b.delay = milliseconds{600};
  } else if (name == "timeout") {
    b.kind = behavior_kind::hang;
  } else if (name == "upstream-error") {
    b.kind = behavior_kind::status;
    b.status = 502;
  } else {
    return std::nullopt;
  }
  return b;
}

}  // namespace tidegate::mock
