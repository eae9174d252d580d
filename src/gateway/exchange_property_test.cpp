// What holds for every run, whatever providers, callers and time do: tens of thousands of small worlds, each
// from one seed. TIDEGATE_SEEDS sets how many, TIDEGATE_SEED replays one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "kit/world.h"

namespace tidegate::gateway {
namespace {

namespace sse = protocol::sse;

using namespace std::chrono_literals;
using foundation::random_source;
using kit::behavior;
using kit::call_record;
using kit::dialect_id;
using kit::exchange;
using kit::setup;
using kit::stream_end;
using kit::world;
using runtime::call_fault;

constexpr std::string_view names[] = {"openai", "anthropic", "third"};
constexpr std::string_view hosts[] = {kit::P, kit::B, kit::C};

template <class T, std::size_t N>
const T& one_of(random_source& random, const T (&list)[N]) {
  return list[random.below(N)];
}

bool chance(random_source& random, unsigned percent) { return random.below(100) < percent; }

duration some_time(random_source& random) {
  constexpr duration choices[] = {0ms, 0ms, 0ms, 1ms, 7ms, 400ms, 3s, 11s, 29s, 31s, 61s};
  return one_of(random, choices);
}

// An error that repeats the credential it was given, as vendors do.
std::string echoed_key(std::string_view host) {
  return "Incorrect API key provided: " + std::string{host == kit::B ? kit::backup_key : kit::primary_key};
}

behavior any_status(random_source& random, std::string_view host) {
  constexpr int codes[] = {302, 400, 401, 403, 404, 413, 429, 429, 500, 502, 503, 503, 504, 529, 505};
  constexpr std::string_view headers[] = {"", "", "retry-after: 2\r\n", "retry-after-ms: 700\r\n",
                                          "retry-after: soon\r\n"};
  behavior b = kit::status(one_of(random, codes), std::string{one_of(random, headers)});
  if (chance(random, 20)) b.pieces = {R"({"error":{"message":)" + kit::json_string(echoed_key(host)) + "}}"};
  if (chance(random, 10)) b.end = one_of(random, {stream_end::reset, stream_end::stall});
  return b;
}

behavior any_200(random_source& random) {
  constexpr std::string_view bodies[] = {"",
                                         "{}",
                                         "[]",
                                         "<html>",
                                         "null",
                                         "data: {}\n\n",
                                         "{\"id\":",
                                         "data: {\"choices\":[",
                                         "\xff\xfe",
                                         "event: error\ndata: {}\n\n",
                                         "data: [DONE]\n\n"};
  constexpr std::string_view types[] = {"content-type: application/json\r\n",
                                        "content-type: text/event-stream\r\n", "",
                                        "content-type: text/html\r\n"};
  behavior b = kit::replies(200, std::string{one_of(random, bodies)}, std::string{one_of(random, types)});
  b.end = one_of(random, {stream_end::whole, stream_end::whole, stream_end::reset, stream_end::stall});
  return b;
}

behavior any_stream(random_source& random, std::string_view host) {
  behavior b = kit::streams(one_of(random, {stream_end::no_marker, stream_end::cut, stream_end::reset,
                                            stream_end::stall, stream_end::error_event}),
                            random.below(4));
  if (b.end == stream_end::no_marker) b.content_events = std::string::npos;
  b.preamble = b.end == stream_end::no_marker || chance(random, 80);
  constexpr std::string_view types[] = {"overloaded_error", "rate_limit_error", "invalid_request_error",
                                        "server_error"};
  b.error_type = one_of(random, types);
  if (chance(random, 30)) b.error_message = echoed_key(host);
  return b;
}

behavior any_behavior(random_source& random, std::string_view host) {
  constexpr call_fault faults[] = {call_fault::dns,   call_fault::tls,       call_fault::connect,
                                   call_fault::reset, call_fault::malformed, call_fault::connect_timeout};
  behavior b;
  switch (random.below(10)) {
    case 0:
    case 1:
    case 2:
      b = kit::answers();
      break;
    case 3:
    case 4:
      b = any_status(random, host);
      break;
    case 5:
      b = kit::fails(one_of(random, faults));
      break;
    case 6:
      b = kit::hangs();
      break;
    case 7:
      b = any_200(random);
      break;
    default:
      b = any_stream(random, host);
      break;
  }
  b.delay = some_time(random);
  if (chance(random, 50)) b.pause = some_time(random);
  b.headers += "x-request-id: req-" + std::to_string(random.below(1'000'000)) + "\r\n";
  return b;
}

setup any_setup(random_source& random) {
  setup s = kit::three_targets(
      one_of(random, {policy::failover_mode::after_trip, policy::failover_mode::immediate}));
  s.targets.resize(1 + random.below(3));
  std::rotate(s.targets.begin(),
              s.targets.begin() + static_cast<std::ptrdiff_t>(random.below(s.targets.size())),
              s.targets.end());
  const bool on_status = chance(random, 20);
  s.adjust = [on_status](snapshot& next) { next.retry.retry_on_status = on_status; };
  return s;
}

// How runs ended, so that a run of the test shows that it has met every kind of end.
using tally = std::map<std::string, std::size_t>;

std::string kind_of_end(const exchange& e) {
  if (e.reply.left()) return e.reply.streamed ? "left in a stream" : "left before any answer";
  if (e.reply.given_up) return "too slow a reader";
  if (e.reply.broken) return "stream broken";
  return (e.reply.streamed ? "stream " : "whole ") + e.code();
}

// One caller, and what is noted of it for the verdict.
struct caller {
  std::string marker;     // in its prompt, so that calls can be told apart
  bool logprobs = false;  // asks for what no target of another dialect can carry
  kit::ask asks;
  duration starts{};
  std::optional<duration> leaves;
  exchange* its = nullptr;
  instant deadline{};
  std::size_t calls_at_begin = std::string::npos;  // calls made when its stream was opened
  std::size_t calls_at_leave = std::string::npos;
};

caller any_caller(random_source& random, std::size_t number) {
  caller c;
  c.marker = "caller-" + std::to_string(number) + '.';
  c.asks.dialect =
      one_of(random, {dialect_id::openai_chat, dialect_id::openai_responses, dialect_id::anthropic_messages});
  c.asks.stream = chance(random, 70);
  c.asks.body = kit::request_body(c.asks);
  c.asks.body.replace(c.asks.body.find("say hello"), 9, c.marker);
  c.logprobs = c.asks.dialect == dialect_id::openai_chat && chance(random, 30);
  if (c.logprobs) c.asks.body.insert(1, R"("logprobs":true,)");
  if (chance(random, 40))
    c.asks.timeout = one_of(random, {duration{5ms}, duration{3s}, duration{12s}, duration{40s}});
  c.starts = some_time(random);
  if (chance(random, 25)) c.leaves = c.starts + some_time(random);
  return c;
}

class small_world {
 public:
  explicit small_world(std::uint64_t seed) : random_{seed}, w_{any_setup(random_)} {
    for (const std::string_view host : hosts) {
      for (std::size_t n = random_.below(5); n > 0; --n) w_.upstream.next(host, any_behavior(random_, host));
      if (chance(random_, 20)) w_.upstream.always(host, kit::status(503));
    }
    for (const std::string_view name : names) {
      if (chance(random_, 15)) w_.degrade(name);
    }
    if (chance(random_, 50)) w_.advance(900s);
    for (std::size_t n = 1 + random_.below(3); n > 0; --n) callers_.push_back(any_caller(random_, n));
  }

  void live(tally& ends) {
    const instant begin = w_.clock.now();
    struct moment {
      duration at;
      caller* who;
      bool leaves;
    };
    std::vector<moment> plan;
    for (caller& c : callers_) {
      plan.push_back({c.starts, &c, false});
      if (c.leaves) plan.push_back({*c.leaves, &c, true});
    }
    // A caller leaves after it came, also at the same time.
    std::ranges::sort(plan, {}, [](const moment& m) { return std::pair{m.at, m.leaves}; });
    for (const moment& m : plan) {
      w_.advance(begin + m.at - w_.clock.now());
      no_permit_left_behind();
      m.leaves ? leave(*m.who) : start(*m.who);
    }
    w_.advance(10min + 1ms);
    for (const caller& c : callers_) {
      judge(c);
      ++ends[kind_of_end(*c.its)];
    }
    no_permit_left_behind();
    EXPECT_EQ(w_.upstream.open_calls(), 0U);
    EXPECT_THAT(w_.metrics.expose(), testing::HasSubstr("tidegate_open_streams 0\n"));
    no_secret_anywhere();
  }

 private:
  std::vector<const call_record*> calls_of(const caller& c) const {
    std::vector<const call_record*> out;
    for (const call_record& r : w_.upstream.calls()) {
      if (r.body.find(c.marker) != std::string::npos) out.push_back(&r);
    }
    return out;
  }

  void start(caller& c) {
    c.deadline = w_.clock.now() + std::min<duration>(c.asks.timeout.value_or(10min), 10min);
    const duration per_byte = chance(random_, 15) ? duration{random_.below(2'000'000)} : 0ns;
    c.asks.prepare = [&, per_byte](kit::recorded_reply& reply) {
      reply.per_byte = per_byte;
      reply.on_begin = [&] { c.calls_at_begin = calls_of(c).size(); };
    };
    c.its = &w_.start(c.asks);
  }

  void leave(caller& c) {
    if (c.its->done) return;
    c.calls_at_leave = calls_of(c).size();
    std::uint32_t before[3];
    for (std::size_t i = 0; i < 3; ++i) before[i] = w_.failures(names[i]);
    c.its->reply.leave();
    w_.settle();
    EXPECT_TRUE(c.its->done) << "a run without a caller ends in the same turn";
    no_permit_left_behind();
    for (const call_record* r : calls_of(c)) EXPECT_FALSE(r->open) << "its call upstream is closed with it";
    for (std::size_t i = 0; i < 3; ++i)
      EXPECT_EQ(w_.failures(names[i]), before[i]) << "leaving blames nobody";
  }

  void judge(const caller& c) const {
    const exchange& e = *c.its;
    const auto calls = calls_of(c);
    SCOPED_TRACE(c.marker);
    ASSERT_TRUE(e.done) << "nothing outlives its deadline";
    EXPECT_EQ(w_.terminals(e), 1U);
    EXPECT_EQ(events_of("ai_leg_started", e), events_of("ai_leg_finished", e));
    EXPECT_EQ(events_of("ai_budget_reserved", e),
              events_of("ai_budget_settled", e) + events_of("ai_budget_released", e))
        << "each reservation ends once (BUD-5)";
    for (const call_record* r : calls)
      EXPECT_FALSE(c.logprobs && r->host == kit::B) << "a target that cannot carry the request (FO-10)";
    for (const call_record* r : calls)
      EXPECT_LT(r->at, c.deadline) << "nobody is called when the time is over";
    if (c.calls_at_leave != std::string::npos)
      EXPECT_EQ(calls.size(), c.calls_at_leave) << "nor for one who left";
    if (c.calls_at_begin != std::string::npos)
      EXPECT_EQ(calls.size(), c.calls_at_begin) << "nor behind first content";
    EXPECT_LE(e.reply.answers, 1U);
    for (std::size_t i = 0; i + 1 < calls.size(); ++i) only_the_last_is_seen(e, *calls[i]);
    if (e.reply.left()) return;
    EXPECT_EQ(e.reply.answers, 1U);
    EXPECT_NE(e.reply.whole_sent, e.reply.streamed);
    if (e.reply.streamed) {
      judge_stream(e, *calls.back());
    } else {
      EXPECT_TRUE(protocol::json::parse(e.reply.body)) << e.reply.body;
      EXPECT_FALSE(e.code().empty()) << e.reply.body;
      if (e.code() == "OK") EXPECT_FALSE(calls.empty());
    }
  }

  // A permit belongs to a run under way.
  void no_permit_left_behind() {
    if (!std::ranges::all_of(w_.exchanges, &exchange::done)) return;
    w_.shared.health().with([&](policy::health_bank& bank) {
      for (policy::provider_index i = 0; i < bank.size(); ++i)
        EXPECT_NE(bank.breaker_of(i).would_refuse(w_.clock.now()), policy::breaker_refusal::probing);
    });
  }

  std::size_t events_of(std::string_view event, const exchange& e) const {
    const auto ids = w_.fields(event, "runId");
    return static_cast<std::size_t>(std::ranges::count(ids, e.run_id));
  }

  static void only_the_last_is_seen(const exchange& e, const call_record& failed) {
    EXPECT_EQ(e.reply.body.find(failed.tag), std::string::npos) << "bytes of a failed leg";
    const std::size_t id = failed.did.headers.find("req-");
    if (id == std::string::npos) return;
    EXPECT_EQ(e.reply.headers.find(failed.did.headers.substr(id)), std::string::npos)
        << "headers of a failed leg";
  }

  static void judge_stream(const exchange& e, const call_record& last) {
    if (e.reply.given_up) {
      EXPECT_FALSE(e.reply.ended) << "a reader too slow for the deadline has not seen the end";
      return;
    }
    EXPECT_NE(e.reply.ended, e.reply.broken) << e.reply.body;
    const stream_end how = last.did.end;
    if (e.reply.ended) {
      const bool whole = last.did.what == behavior::kind::answer &&
                         (how == stream_end::whole || how == stream_end::no_marker);
      EXPECT_TRUE(whole || last.did.what == behavior::kind::raw)
          << "a clean end that the provider did not give";
      if (last.did.what == behavior::kind::answer) EXPECT_EQ(said(e), last.did.text);
    } else {
      EXPECT_EQ(e.reply.body.find("[DONE]"), std::string::npos);
      EXPECT_EQ(e.reply.body.find("message_stop"), std::string::npos);
      EXPECT_EQ(e.reply.body.find("response.completed"), std::string::npos);
    }
  }

  static std::string said(const exchange& e) {
    std::vector<dialect::stream_event> events;
    const auto decoder = dialect::get(e.dialect).decoder();
    sse::parser parser;
    static_cast<void>(parser.feed(e.reply.body, [&](const sse::event_view& event) {
      if (event.dispatch) decoder->decode(event, events);
      return true;
    }));
    std::string text;
    for (const auto& event : events) {
      if (event.kind == dialect::stream_event_kind::text) text += event.text;
    }
    return text;
  }

  void no_secret_anywhere() const {
    for (const std::string_view key : {kit::primary_key, kit::backup_key}) {
      EXPECT_FALSE(w_.lines.contains(key)) << "SEC-3: a credential in the log";
      for (const exchange& e : w_.exchanges) {
        EXPECT_EQ(e.reply.body.find(key), std::string::npos)
            << "SEC-3: a credential in a reply: " << e.reply.body;
      }
    }
  }

  random_source random_;
  world w_;
  std::deque<caller> callers_;
};

std::uint64_t number_from(const char* name, std::uint64_t fallback) {
  const char* const set = std::getenv(name);
  return set != nullptr ? std::strtoull(set, nullptr, 10) : fallback;
}

TEST(exchange_property, every_run_keeps_its_promises_whatever_happens) {
  const std::uint64_t first = number_from("TIDEGATE_SEED", 1);
  const std::uint64_t count =
      std::getenv("TIDEGATE_SEED") != nullptr ? 1 : number_from("TIDEGATE_SEEDS", 12'000);
  tally ends;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE("TIDEGATE_SEED=" + std::to_string(seed));
    small_world{seed}.live(ends);
    if (testing::Test::HasFailure()) break;
  }
  std::printf("exchange worlds: %llu\n", static_cast<unsigned long long>(count));
  for (const auto& [end, times] : ends) std::printf("  %s: %zu\n", end.c_str(), times);
}

}  // namespace
}  // namespace tidegate::gateway
