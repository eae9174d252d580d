// A whole gateway on simulated time: core, loop, scripted providers, recorded callers, captured log. The
// fixture of the scenarios: route "gpt-5.2", targets openai/gpt-5.2, then anthropic/claude-sonnet-4, jitter
// 0.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "foundation/check.h"
#include "foundation/ids.h"
#include "foundation/random.h"
#include "foundation/time.h"
#include "gateway/core.h"
#include "gateway/exchange.h"
#include "gateway/snapshot.h"
#include "kit/recorded_journal.h"
#include "kit/recorded_reply.h"
#include "kit/scripted_upstream.h"
#include "observe/captured_log.h"
#include "observe/metrics.h"
#include "protocol/json/json.h"

namespace tidegate::kit {

inline constexpr std::string_view P = "api.openai.com";     // host of the fixture's primary
inline constexpr std::string_view B = "api.anthropic.com";  // host of its backup
inline constexpr std::string_view C = "third.example";      // host of a third target, where a test adds one
inline constexpr std::string_view primary_key = "sk-primary-credential-1";
inline constexpr std::string_view backup_key = "sk-backup-credential-2";

struct provider_spec {
  std::string name;
  policy::provider_kind kind = policy::provider_kind::openai;
  std::string url;
  std::string key;
};

struct target_spec {
  std::string provider;
  std::string model;
};

struct setup {
  std::optional<policy::failover_mode> mode = policy::failover_mode::after_trip;
  std::vector<provider_spec> providers = {
      {"openai", policy::provider_kind::openai, "https://api.openai.com", std::string{primary_key}},
      {"anthropic", policy::provider_kind::anthropic, "https://api.anthropic.com", std::string{backup_key}}};
  std::vector<target_spec> targets = {{"openai", "gpt-5.2"}, {"anthropic", "claude-sonnet-4"}};
  std::string route = "gpt-5.2";
  std::function<void(gateway::snapshot&)> adjust;  // before it is published
};

inline setup after_trip() { return {}; }
inline setup immediate() {
  setup s;
  s.mode = policy::failover_mode::immediate;
  return s;
}
// Primary, backup and a compatible third one.
inline setup three_targets(policy::failover_mode mode) {
  setup s;
  s.mode = mode;
  s.providers.push_back({"third", policy::provider_kind::openai_compatible, "https://third.example", ""});
  s.targets.push_back({"third", "llama-4"});
  return s;
}
inline setup without_backup(policy::failover_mode mode = policy::failover_mode::after_trip) {
  setup s;
  s.mode = mode;
  s.targets.pop_back();
  return s;
}

struct ask {
  dialect_id dialect = dialect_id::openai_chat;
  bool stream = false;
  std::string model = "gpt-5.2";
  std::optional<foundation::duration> timeout;
  std::string body;  // instead of the ordinary one
  gateway::endpoint what = gateway::endpoint::generate;
  std::string dialect_headers;
  std::string query;
  gateway::caller who;
  std::function<void(recorded_reply&)> prepare;  // the caller's side, before the call begins
};

inline ask streamed(dialect_id dialect = dialect_id::openai_chat) {
  ask a;
  a.dialect = dialect;
  a.stream = true;
  return a;
}

inline std::string request_body(const ask& a) {
  if (!a.body.empty()) return a.body;
  std::string body = R"({"model":)" + json_string(a.model);
  if (a.dialect == dialect_id::openai_responses) {
    body += R"(,"input":"say hello")";
  } else {
    if (a.dialect == dialect_id::anthropic_messages) body += R"(,"max_tokens":256)";
    body += R"(,"messages":[{"role":"user","content":"say hello"}])";
  }
  if (a.stream) body += R"(,"stream":true)";
  return body + '}';
}

struct exchange {
  exchange(runtime::loop& owner) : reply{owner} {}
  recorded_reply reply;
  bool done = false;
  std::string run_id;
  std::string trace_id;
  dialect_id dialect = dialect_id::openai_chat;

  // "OK", or the canonical code of a whole error reply or of the error that broke the stream; else empty.
  std::string code() const {
    std::string_view text = reply.body;
    if (reply.streamed) {
      if (reply.ended) return "OK";
      const std::size_t at = text.rfind("data: ");
      if (at == std::string_view::npos) return {};
      text = text.substr(at + 6);
      text = text.substr(0, text.find('\n'));
    } else if (reply.status >= 200 && reply.status < 300) {
      return "OK";
    }
    const auto parsed = protocol::json::parse(text);
    if (!parsed) return {};
    const std::string outer = parsed->string_or("code", "");
    const auto error = parsed->find("error");
    return error && outer.empty() ? error->string_or("code", "") : outer;
  }
  std::string message() const {
    const auto parsed = protocol::json::parse(reply.body);
    const auto error = parsed ? parsed->find("error") : std::nullopt;
    return error ? error->string_or("message", "") : std::string{};
  }
};

class world {
 public:
  explicit world(setup s = {}) : log{lines, clock}, shared{log, metrics}, settings_{std::move(s)} {
    publish(settings_);
  }

  // Another configuration, as a reload would bring it. Runs under way keep theirs.
  void publish(const setup& s) {
    auto next = std::make_shared<gateway::snapshot>();
    std::map<std::string, const gateway::provider*> by_name;
    policy::credential_id ids = 0;
    for (const provider_spec& from : s.providers) {
      auto p = std::make_unique<gateway::provider>();
      p->name = from.name;
      p->kind = from.kind;
      auto url = policy::parse_base_url(from.url);
      TG_CHECK(url.has_value());
      p->has_url = true;
      p->url = std::move(*url);
      p->origin = {p->url.host, p->url.port, p->url.tls};
      p->credential = from.key;
      p->credential_configured = !from.key.empty();
      if (!from.key.empty()) p->credential_id = ++ids;
      p->credential_fingerprint = from.key.empty() ? 0 : std::hash<std::string>{}(from.key) | 1U;
      if (from.kind == policy::provider_kind::openai) p->max_tokens_field = "max_completion_tokens";
      by_name[p->name] = p.get();
      next->providers.push_back(std::move(p));
    }
    gateway::route r;
    r.pattern = s.route;
    r.mode = s.mode;
    for (const target_spec& t : s.targets) r.targets.push_back({by_name.at(t.provider), t.model});
    next->patterns.push_back(r.pattern);
    next->routes.push_back(std::move(r));
    next->retry.jitter_percent = 0;
    next->policies.front().requests_per_minute = 1000;
    if (s.adjust) s.adjust(*next);
    shared.publish(std::move(next), {});
  }

  exchange& start(const ask& a = {}) {
    exchange& e = exchanges.emplace_back(loop);
    gateway::call c;
    c.what = a.what;
    c.dialect = a.dialect;
    c.from = gateway::surface::chat;
    c.body = request_body(a);
    c.dialect_headers = a.dialect_headers;
    c.query = a.query;
    c.run_id = e.run_id = foundation::make_run_id(clock.wall(), random);
    c.trace_id = e.trace_id = foundation::make_trace_id(random);
    c.arrived = loop.fresh_now();
    c.timeout = a.timeout;
    c.who = a.who;
    e.dialect = a.dialect;
    if (a.prepare) a.prepare(e.reply);
    drive(shared, services, std::move(c), e);
    settle();
    return e;
  }
  // Starts it and lets time pass until it has ended.
  exchange& run(const ask& a = {}) {
    exchange& e = start(a);
    finish(e);
    return e;
  }
  void finish(exchange& e) {
    while (!e.done) {
      const instant next = loop.next_timer();
      if (next == foundation::never) {
        ADD_FAILURE() << "the exchange hangs: nothing will wake it";
        return;
      }
      advance(std::max(next - clock.now(), foundation::duration::zero()));
    }
  }
  // Everything that can happen now.
  void settle() {
    while (loop.turn(foundation::duration::zero())) {
    }
  }
  void advance(foundation::duration by) {
    const instant target = clock.now() + by;
    settle();
    while (loop.next_timer() <= target) {
      clock.advance(std::max(loop.next_timer() - clock.now(), foundation::duration::zero()));
      settle();
    }
    clock.advance(target - clock.now());
    settle();
  }

  policy::breaker_status health(std::string_view provider) {
    return shared.health().with(
        [&](policy::health_bank& bank) { return bank.breaker_of(*bank.find(provider)).status(clock.now()); });
  }
  bool degraded(std::string_view provider) { return health(provider) != policy::breaker_status::healthy; }
  std::uint32_t failures(std::string_view provider) {
    return shared.health().with([&](policy::health_bank& bank) {
      // The snapshot counts a permit that has expired, as the next look at the breaker will.
      return bank.breaker_of(*bank.find(provider)).snapshot(clock.now(), clock.wall()).consecutive_failures;
    });
  }
  // Trips it by its own failures.
  void degrade(std::string_view provider) {
    shared.health().with([&](policy::health_bank& bank) {
      policy::breaker& circuit = bank.breaker_of(*bank.find(provider));
      while (circuit.closed()) circuit.on_failure(*circuit.try_acquire(clock.now()), clock.now());
    });
  }

  std::size_t count(std::string_view event) const { return lines.of(event).size(); }
  // A field of the log's lines of that event, in order.
  std::vector<std::string> fields(std::string_view event, std::string_view name) const {
    std::vector<std::string> out;
    for (const std::string& line : lines.of(event)) {
      const auto parsed = protocol::json::parse(line);
      const auto v = parsed ? parsed->find(name) : std::nullopt;
      out.push_back(!v ? std::string{} : v->as_string().value_or(std::string{v->raw()}));
    }
    return out;
  }
  // Terminal events of a run: exactly one is due.
  std::size_t terminals(const exchange& e) const {
    std::size_t n = 0;
    for (const std::string_view event :
         {"ai_run_completed", "ai_run_failed", "ai_run_canceled", "ai_run_timeout", "ai_run_refused"}) {
      for (const std::string& id : fields(event, "runId")) n += id == e.run_id ? 1U : 0U;
    }
    return n;
  }

  foundation::manual_clock clock;
  observe::captured_log lines;
  observe::logger log;
  observe::gateway_metrics metrics;
  gateway::core shared;
  runtime::loop loop{clock};
  scripted_upstream upstream{loop};
  foundation::random_source random{1};
  recorded_journal journal;
  gateway::loop_services services{loop, upstream, random, journal};
  std::deque<exchange> exchanges;

 private:
  static runtime::detached drive(gateway::core& shared, gateway::loop_services& services,
                                 gateway::call request, exchange& e) {
    co_await gateway::run_exchange(shared, services, request, e.reply);
    e.done = true;
  }

  setup settings_;
};

}  // namespace tidegate::kit
