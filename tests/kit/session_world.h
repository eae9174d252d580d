// The session surface on simulated time over scripted providers, with stores in memory: channels are called
// as surface/rpc calls them, every push is seen by an admin's subscription. No sockets, no threads.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kit/world.h"
#include "protocol/rpc/contract.h"
#include "session/service.h"
#include "storage/memory/memory_stores.h"

namespace tidegate::kit {

class fixed_providers final : public session::provider_desk {
 public:
  void update(session::provider_patch, answer then) override {
    foundation::failure f;
    f.code = foundation::error_code::db_error;
    then(std::unexpected{f});
  }
};

// One call of a channel.
struct channel_call {
  explicit channel_call(runtime::loop&) {}
  std::string request;
  runtime::cancel_source gone;
  std::optional<session::request_context> context;
  bool done = false;
  session::channel_reply reply;

  bool ok() const { return done && reply.has_value(); }
  // "OK", or the failure's code; "" while it is under way.
  std::string code() const {
    if (!done) return {};
    return reply ? "OK" : std::string{foundation::name_of(reply.error().code)};
  }
  // A member of the reply's data, as text.
  std::string text(std::initializer_list<std::string_view> path) const {
    if (!ok()) return {};
    return member_of(*reply, path);
  }
  std::string detail(std::initializer_list<std::string_view> path) const {
    return done && !reply ? member_of(reply.error().details, path) : std::string{};
  }
  static std::string member_of(std::string_view text, std::initializer_list<std::string_view> path) {
    const auto parsed = protocol::json::parse(text);
    const auto found = parsed ? parsed->path(path) : std::nullopt;
    return !found ? std::string{} : found->as_string().value_or(std::string{found->raw()});
  }
};

struct seen_push {
  std::string name;
  std::string id;
  std::string data;
  std::string text(std::initializer_list<std::string_view> path) const {
    return channel_call::member_of(data, path);
  }
};

class session_world : public world {
 public:
  explicit session_world(setup s = after_trip(), session::service_settings settings = {})
      : world{std::move(s)},
        stores{storage::memory::make(nullptr, {}, [this] { return store_down; })},
        prices{stores->settings(), log} {
    me.id = me.name = "k1";
    me.role = policy::caller_role::admin;
    auto opened =
        session::service::open(shared, *stores, providers, prices, log, clock, loop, std::move(settings));
    EXPECT_TRUE(opened.has_value()) << opened.error();
    sessions = std::move(*opened);
    shared.use(&sessions->queue());
    for (session::binding& b : sessions->bindings()) handlers_[std::string{b.channel}] = std::move(b.run);
    watch();
  }
  ~session_world() {
    for (channel_call& c : calls) c.gone.fire(runtime::cancel_reason::shutdown);
    sessions->drain();
    sessions->stop_runs();
    for (int i = 0; i < 1000 && sessions->under_way() > 0; ++i) advance(std::chrono::seconds{1});
    EXPECT_EQ(sessions->under_way(), 0U);
    sessions->close_pushes();
    settle();
    shared.use(static_cast<gateway::run_queue*>(nullptr));
    sessions.reset();
  }

  channel_call& start(std::string_view channel, std::string request, const policy::principal* who = nullptr) {
    channel_call& c = calls.emplace_back(loop);
    c.request = std::move(request);
    const auto parsed = protocol::json::parse(c.request);
    EXPECT_TRUE(parsed.has_value()) << c.request;
    const auto* what = protocol::rpc::find_channel(channel);
    EXPECT_NE(what, nullptr) << channel;
    const auto issues = protocol::rpc::validate(*what->request, *parsed);
    EXPECT_TRUE(issues.empty()) << channel << ' ' << c.request << ": " << issues.front().path;
    c.context.emplace(session::request_context{.who = who != nullptr ? *who : me,
                                               .request_id = foundation::make_run_id(clock.wall(), random),
                                               .trace_id = foundation::make_trace_id(random),
                                               .session = {},
                                               .services = from != nullptr ? *from : services,
                                               .gone = c.gone,
                                               .stream = nullptr});
    drive(handlers_.at(std::string{channel}), *parsed, what->reply, c);
    settle();
    return c;
  }
  channel_call& call(std::string_view channel, std::string request, const policy::principal* who = nullptr) {
    channel_call& c = start(channel, std::move(request), who);
    finish(c);
    return c;
  }
  // A run of builtin:polish for "gpt-5.2", as section 6 has it; `more`: further members.
  channel_call& run(std::string_view more = {}, std::string_view input = "some text to polish") {
    return call("ai:skill:run", request_of(more, input));
  }
  channel_call& start_run(std::string_view more = {}, std::string_view input = "some text to polish") {
    return start("ai:skill:run", request_of(more, input));
  }
  static std::string request_of(std::string_view more, std::string_view input) {
    std::string out = R"({"skillId":"builtin:polish","model":"gpt-5.2","input":)" + json_string(input);
    if (!more.empty()) out.append(",").append(more);
    return out + "}";
  }
  void finish(channel_call& c) {
    while (!c.done) {
      const instant next = loop.next_timer();
      if (next == foundation::never) {
        ADD_FAILURE() << "the call hangs: nothing will wake it";
        return;
      }
      advance(std::max(next - clock.now(), foundation::duration::zero()));
    }
  }
  // Until the run's done has been pushed.
  const seen_push* await_done(std::string_view execution) {
    for (int i = 0; i < 100'000; ++i) {
      if (const seen_push* p = done_of(execution)) return p;
      const instant next = loop.next_timer();
      if (next == foundation::never) return nullptr;
      advance(std::max(next - clock.now(), foundation::duration::zero()));
    }
    return nullptr;
  }
  const seen_push* done_of(std::string_view execution) const {
    for (const seen_push& p : pushes) {
      if (p.name == "skill:stream:done" && p.text({"executionId"}) == execution) return &p;
    }
    return nullptr;
  }
  std::vector<const seen_push*> pushes_of(std::string_view execution, std::string_view name) const {
    std::vector<const seen_push*> out;
    for (const seen_push& p : pushes) {
      if ((name.empty() || p.name == name) && p.text({"executionId"}) == execution) out.push_back(&p);
    }
    return out;
  }
  // "queued/1 started/0 completed/0": a run's own queue events.
  std::string queue_story(std::string_view execution) const {
    std::string out;
    for (const seen_push* p : pushes_of(execution, "skill:queue:status")) {
      if (!out.empty()) out += ' ';
      out += p->text({"status"}) + '/' + p->text({"queuePosition"});
    }
    return out;
  }
  std::size_t journalled(std::string_view event) const { return count(event); }

  bool store_down = false;
  gateway::loop_services* from = nullptr;  // of the loop that requests come in on; null: this world's own
  policy::principal me;
  std::unique_ptr<storage::stores> stores;
  fixed_providers providers;
  session::price_desk prices;
  std::unique_ptr<session::service> sessions;
  std::deque<channel_call> calls;
  std::vector<seen_push> pushes;

 private:
  static runtime::detached drive(session::handler& run, protocol::json::value request,
                                 const protocol::rpc::shape* reply, channel_call& c) {
    c.reply = co_await run(request, *c.context);
    c.done = true;
    if (!c.reply) co_return;
    const auto parsed = protocol::json::parse(*c.reply);
    EXPECT_TRUE(parsed.has_value()) << *c.reply;
    if (!parsed) co_return;
    const auto issues = protocol::rpc::validate(*reply, *parsed);
    EXPECT_TRUE(issues.empty()) << *c.reply << ": " << issues.front().path << ' ' << issues.front().message;
  }
  void watch() {
    session::push_filter all;
    all.who = me;
    auto seen = sessions->hub().subscribe(loop, std::move(all));
    EXPECT_TRUE(seen.has_value());
    read(*this, std::move(*seen));
    settle();
  }
  static runtime::detached read(session_world& w, session::push_hub::subscription from) {
    runtime::cancel_source never_fired;
    for (;;) {
      const session::push_batch batch = co_await from.next(never_fired, foundation::never);
      if (batch.what != session::push_batch::state::events) co_return;
      w.take(batch.text);
    }
  }
  void take(std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = std::min(text.find("\n\n"), text.size());
      seen_push p;
      std::string_view one = text.substr(0, end);
      while (!one.empty()) {
        const std::size_t eol = std::min(one.find('\n'), one.size());
        const std::string_view line = one.substr(0, eol);
        if (line.starts_with("id: ")) p.id = line.substr(4);
        if (line.starts_with("event: ")) p.name = line.substr(7);
        if (line.starts_with("data: ")) p.data = line.substr(6);
        one.remove_prefix(std::min(one.size(), eol + 1));
      }
      check(p);
      pushes.push_back(std::move(p));
      text.remove_prefix(std::min(text.size(), end + 2));
    }
  }
  static void check(const seen_push& p) {
    const auto* what = protocol::rpc::find_push(p.name);
    EXPECT_NE(what, nullptr) << p.name;
    const auto parsed = protocol::json::parse(p.data);
    EXPECT_TRUE(parsed.has_value()) << p.data;
    if (what == nullptr || !parsed) return;
    const auto issues = protocol::rpc::validate(*what->payload, *parsed);
    EXPECT_TRUE(issues.empty()) << p.data << ": " << issues.front().path << ' ' << issues.front().message;
  }

  std::map<std::string, session::handler, std::less<>> handlers_;
};

}  // namespace tidegate::kit
