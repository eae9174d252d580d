// A whole gateway and a scripted provider in this process, on loopback ports of the kernel's choice, with the
// callers' side of the three dialects. Real sockets and real time: nothing here sleeps, waits look at a
// condition.
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/configuration.h"
#include "app/process.h"
#include "app/service.h"
#include "kit/raw_client.h"
#include "kit/temporary_folder.h"
#include "mock/mock_server.h"
#include "observe/captured_log.h"
#include "protocol/dialect/dialect.h"
#include "protocol/json/json.h"

namespace tidegate::kit {

namespace json = protocol::json;
using protocol::dialect::dialect_id;

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define TIDEGATE_SANITIZED 1
#endif
#endif
#ifdef TIDEGATE_SANITIZED
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif
// How often a test tries: sanitizers are slow, and what they look for shows early.
constexpr std::size_t tries(std::size_t plain, std::size_t under_sanitizer) {
  return sanitized ? under_sanitizer : plain;
}

inline void figure(std::string_view name, double value, std::string_view unit) {
  std::printf("[figure] %.*s %.3f %.*s\n", static_cast<int>(name.size()), name.data(), value,
              static_cast<int>(unit.size()), unit.data());
}

// The sample that `share` (0 to 1) of all do not exceed.
inline double percentile(std::vector<double> samples, double share) {
  if (samples.empty()) return 0;
  std::ranges::sort(samples);
  const auto last = static_cast<double>(samples.size() - 1);
  return samples[static_cast<std::size_t>(share * last + 0.5)];
}

using steady = std::chrono::steady_clock;
inline double ms_since(steady::time_point start) {
  return std::chrono::duration<double, std::milli>(steady::now() - start).count();
}

// Waits for ticks of real time, for clients that are slow on purpose.
class ticker {
 public:
  explicit ticker(std::chrono::milliseconds every) : fd_{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)} {
    const auto ns = std::chrono::nanoseconds{every}.count();
    const timespec step{ns / 1'000'000'000, ns % 1'000'000'000};
    const itimerspec when{step, step};
    ::timerfd_settime(fd_, 0, &when, nullptr);
  }
  ticker(const ticker&) = delete;
  ticker& operator=(const ticker&) = delete;
  ~ticker() { ::close(fd_); }
  void wait() const {
    std::uint64_t ticks = 0;
    static_cast<void>(::read(fd_, &ticks, sizeof ticks) > 0);
  }

 private:
  int fd_;
};

// Looks every few milliseconds; false where the condition does not come true in time.
inline bool eventually(const std::function<bool()>& holds,
                       std::chrono::milliseconds within = std::chrono::seconds{20}) {
  const auto until = steady::now() + within;
  const ticker pause{std::chrono::milliseconds{2}};
  while (!holds()) {
    if (steady::now() > until) return false;
    pause.wait();
  }
  return true;
}

inline std::size_t resident_bytes() {
  std::ifstream in{"/proc/self/statm"};
  std::size_t total = 0;
  std::size_t resident = 0;
  in >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

inline std::size_t allow_descriptors(std::size_t wanted) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
  }
  return static_cast<std::size_t>(limit.rlim_cur);
}

inline std::uint16_t port_of(std::string_view address) {
  return static_cast<std::uint16_t>(std::stoul(std::string{address.substr(address.rfind(':') + 1)}));
}

// --- the callers' side

inline std::string_view path_of(dialect_id d) {
  switch (d) {
    case dialect_id::anthropic_messages:
      return "/v1/messages";
    case dialect_id::openai_responses:
      return "/v1/responses";
    case dialect_id::openai_chat:
      break;
  }
  return "/v1/chat/completions";
}

inline constexpr dialect_id callers[] = {dialect_id::openai_chat, dialect_id::anthropic_messages,
                                         dialect_id::openai_responses};
// Models of test_gateway: served in the caller's own dialect, and through translation.
inline std::string_view own_model(dialect_id d) {
  return d == dialect_id::anthropic_messages ? "claude-t" : "gpt-t";
}
inline std::string_view other_model(dialect_id d) {
  return d == dialect_id::anthropic_messages ? "gpt-t" : "claude-t";
}

inline std::string ask_body(dialect_id d, std::string_view model, std::string_view text,
                            bool stream = false) {
  std::string out;
  json::writer w{out};
  w.begin_object().member("model", model);
  if (d == dialect_id::openai_responses) {
    w.member("input", text);
  } else {
    if (d == dialect_id::anthropic_messages) w.member("max_tokens", 4096);
    w.key("messages").begin_array().begin_object().member("role", "user").member("content", text);
    w.end_object().end_array();
  }
  if (stream) w.member("stream", true);
  w.end_object();
  return out;
}

// The text of a reply that is no stream.
inline std::string said(dialect_id d, std::string_view body) {
  std::string out;
  const auto parsed = json::parse(body);
  if (!parsed) return out;
  if (d == dialect_id::openai_chat) {
    for (const json::value choice : parsed->find("choices").value_or(json::value{}).elements()) {
      out += choice.find("message").value_or(json::value{}).string_or("content", "");
    }
    return out;
  }
  if (d == dialect_id::anthropic_messages) {
    for (const json::value part : parsed->find("content").value_or(json::value{}).elements())
      out += part.string_or("text", "");
    return out;
  }
  for (const json::value item : parsed->find("output").value_or(json::value{}).elements()) {
    for (const json::value part : item.find("content").value_or(json::value{}).elements())
      out += part.string_or("text", "");
  }
  return out;
}

// What a streamed reply says, as far as it came.
struct heard {
  std::string text;
  bool end_marker = false;  // [DONE], message_stop, response.completed
  bool error = false;       // an error in the dialect's own form was the last event
};
inline void hear_event(dialect_id d, std::string_view data, heard& out) {
  out.error = false;
  if (data == "[DONE]") {
    out.end_marker = true;
    return;
  }
  const auto event = json::parse(data);
  if (!event) return;
  if (d == dialect_id::openai_chat) {
    out.error = event->find("error").has_value();
    for (const json::value choice : event->find("choices").value_or(json::value{}).elements()) {
      out.text += choice.find("delta").value_or(json::value{}).string_or("content", "");
    }
    return;
  }
  const std::string type = event->string_or("type", "");
  out.error = type == "error" || type == "response.failed";
  if (type == "message_stop" || type == "response.completed" || type == "response.incomplete")
    out.end_marker = true;
  if (type == "content_block_delta")
    out.text += event->find("delta").value_or(json::value{}).string_or("text", "");
  if (type == "response.output_text.delta") out.text += event->string_or("delta", "");
}
inline heard hear(dialect_id d, std::string_view body) {
  heard out;
  while (!body.empty()) {
    const std::size_t end = body.find('\n');
    const std::string_view line = body.substr(0, end);
    if (line.starts_with("data: ")) hear_event(d, line.substr(6), out);
    if (end == std::string_view::npos) break;
    body.remove_prefix(end + 1);
  }
  return out;
}

// The canonical code of a whole error reply, in whichever dialect.
inline std::string code_of(std::string_view body) {
  const auto parsed = json::parse(body);
  if (!parsed) return {};
  if (std::string outer = parsed->string_or("code", ""); !outer.empty()) return outer;
  return parsed->find("error").value_or(json::value{}).string_or("code", "");
}

// --- the gateway

struct gateway_options {
  std::function<void(app::configuration&)> adjust{};  // after the defaults for tests
  mock::mock_settings provider{};
  app::environment env{};
  std::string ca_file{};
  std::string provider_url{};  // in place of the scripted provider's
};

class test_gateway {
 public:
  explicit test_gateway(gateway_options options = {}) : options_{std::move(options)}, log_{lines_, time_} {
    std::signal(SIGPIPE, SIG_IGN);  // as the program does: TLS writes cannot ask for it call by call
    auto provider = mock::mock_thread::start("127.0.0.1:0", std::move(options_.provider), time_);
    EXPECT_TRUE(provider.has_value()) << provider.error();
    provider_ = std::move(*provider);
    start();
  }
  // Opens the gateway on its data directory; again after stop().
  void start() {
    const app::configuration settings = configure();
    auto started = app::service::open(
        settings, environment(), log_, time_, [] { return std::expected<void, std::string>{}; },
        options_.ca_file);
    EXPECT_TRUE(started.has_value()) << started.error().messages.front();
    service_ = std::move(*started);
    if (!node().data_address().starts_with("unix:")) port_ = port_of(node().data_address());
    if (!node().admin_address().empty()) admin_port_ = port_of(node().admin_address());
  }

  app::configuration configure() const {
    app::configuration c;
    c.server.listen = "127.0.0.1:0";
    c.admin.listen = "127.0.0.1:0";
    c.server.threads = 2;
    c.storage.dir = directory_.path();
    c.policies["default"].requests_per_minute = 0;  // guards have tests of their own
    c.retry.backoff = {std::chrono::milliseconds{1}};
    c.breaker.failure_threshold =
        1'000'000;  // faults are sent on purpose here; breakers have tests of their own
    const std::string url =
        options_.provider_url.empty() ? "http://" + provider_->address() : options_.provider_url;
    const auto add = [&](std::string_view name, app::provider_kind kind) {
      app::provider_settings p;
      p.name = name;
      p.kind = kind;
      p.base_url = url;
      p.api_key = {app::credential_source::environment, "PROVIDER_KEY"};
      p.first_byte = c.timeouts.first_byte;
      c.providers.push_back(std::move(p));
    };
    add("openai", app::provider_kind::openai);
    add("anthropic", app::provider_kind::anthropic);
    add("compatible", app::provider_kind::openai_compatible);
    c.routes = {{"gpt-*", app::failover_mode::automatic, {{"openai", ""}}},
                {"claude-*", app::failover_mode::automatic, {{"anthropic", ""}}},
                {"compat-*", app::failover_mode::automatic, {{"compatible", ""}}}};
    if (options_.adjust) options_.adjust(c);
    return c;
  }
  app::environment environment() const {
    app::environment env = options_.env;
    env["PROVIDER_KEY"] = "sk-integration-test-key";
    return env;
  }
  // Another configuration, as a reload would bring it.
  std::expected<void, std::string> publish(const app::configuration& settings) {
    return service_->publish(settings, environment());
  }

  app::node& node() { return service_->node(); }
  app::service& service() { return *service_; }
  const std::string& directory() const { return directory_.path(); }
  mock::mock_thread& provider() { return *provider_; }
  const observe::captured_log& log() const { return lines_; }
  std::uint16_t port() const { return port_; }
  std::uint16_t admin_port() const { return admin_port_; }
  const foundation::clock& time() const { return time_; }

  raw_client connect(int receive_buffer = 0) const {
    auto made = raw_client::connect(port(), receive_buffer);
    EXPECT_TRUE(made.has_value()) << "the gateway refuses connections";
    if (!made) std::abort();
    return std::move(*made);
  }
  raw_reply post(std::string_view path, std::string_view body, std::string_view headers = {}) const {
    return connect().exchange("POST", path, body, headers);
  }
  raw_reply get(std::string_view path, std::string_view headers = {}) const {
    return connect().exchange("GET", path, {}, headers);
  }
  raw_reply admin(std::string_view method, std::string_view path, std::string_view headers = {}) const {
    auto made = raw_client::connect(admin_port());
    return made ? made->exchange(method, path, {}, headers) : raw_reply{};
  }
  // It still answers, exactly.
  bool alive() const {
    const raw_reply r =
        post("/v1/chat/completions", ask_body(dialect_id::openai_chat, "gpt-t", "still there?"));
    return r.status == 200 && said(dialect_id::openai_chat, r.body) == "You said: still there?";
  }

  // What the provider has seen so far.
  struct counters {
    std::int64_t active = 0;
    std::int64_t total = 0;
    std::int64_t aborted = 0;
  };
  counters seen() const {
    const std::string text = provider_->state().counters_json();
    const auto parsed = json::parse(text);
    return {parsed->int_at("active").value_or(-1), parsed->int_at("total").value_or(-1),
            parsed->int_at("aborted").value_or(-1)};
  }

  // The provider's own record of what arrived: {"requests":[...]}.
  std::string provider_record() const { return provider_->state().requests_json(); }

  // The next call that the provider gets does this.
  void script(mock::behavior next, std::uint64_t count = 1) {
    mock::script_change change;
    change.steps.push_back({std::make_shared<const mock::behavior>(std::move(next)), {}, count});
    static_cast<void>(provider_->state().apply(std::move(change)));
  }

  bool connections_gone() {
    return eventually([&] { return node().open_connections() == 0; });
  }
  // Ends the gateway; the provider and the log stay.
  void stop() { service_.reset(); }

 private:
  gateway_options options_;
  foundation::system_clock time_;
  observe::captured_log lines_;
  observe::logger log_;
  std::unique_ptr<mock::mock_thread> provider_;
  temporary_folder directory_;
  std::unique_ptr<app::service> service_;
  std::uint16_t port_ = 0;
  std::uint16_t admin_port_ = 0;
};

}  // namespace tidegate::kit
