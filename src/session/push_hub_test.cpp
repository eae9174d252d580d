// Pushes on their way to subscribers: simulated time on one thread, then publishers and loops on threads of
// their own.
#include "session/push_hub.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "foundation/random.h"
#include "observe/captured_log.h"

namespace tidegate::session {
namespace {

using namespace std::chrono_literals;
using state = push_batch::state;

push chunk(const std::string& execution, std::uint64_t seq, const std::string& key = "k") {
  return {.name = "skill:stream:chunk",
          .id = push_id(execution, 1, seq),
          .payload = R"({"seq":)" + std::to_string(seq) + '}',
          .project = "",
          .session_key = "session:s",
          .session_id = "s",
          .execution_id = execution,
          .key_id = key,
          .droppable = true};
}

push control(const std::string& execution, std::uint64_t n, const std::string& key = "k") {
  push p = chunk(execution, n, key);
  p.name = "skill:queue:status";
  p.id = push_id(execution, 0, n);
  p.droppable = false;
  return p;
}

policy::principal key(const std::string& id, std::vector<std::string> projects = {"*"}) {
  policy::principal who;
  who.id = id;
  who.name = id;
  who.projects = std::move(projects);
  return who;
}

push_filter all_of(const std::string& id) { return {.who = key(id), .counted = true}; }

// The ids in a batch, in order.
std::vector<std::string> ids_of(std::string_view text) {
  std::vector<std::string> ids;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    if (line.starts_with("id: ")) ids.emplace_back(line.substr(4));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return ids;
}

// One reader: calls next() again and again until it ends.
struct reader {
  push_hub::subscription subscription;
  runtime::cancel_source cancel;
  foundation::instant until = foundation::never;
  std::vector<std::string> ids;
  std::string text;
  int batches = 0;
  int idle = 0;
  std::optional<state> end;
  // For many readers: the ids as a count, a rolling hash and the last of them.
  bool folding = false;
  std::size_t seen = 0;
  std::size_t fold = 0;
  std::string last;
  std::atomic<int>* open = nullptr;  // counted down at the end

  void note(const std::string& id) {
    ++seen;
    fold = fold * 31 + std::hash<std::string>{}(id);
    last = id;
  }
  static runtime::detached read(reader& self) {
    for (;;) {
      const push_batch batch = co_await self.subscription.next(self.cancel, self.until);
      if (batch.what == state::events) {
        ++self.batches;
        for (auto& id : ids_of(batch.text)) {
          self.note(id);
          if (!self.folding) self.ids.push_back(std::move(id));
        }
        if (!self.folding) self.text += batch.text;
        continue;
      }
      if (batch.what == state::idle) {
        ++self.idle;
        self.until = foundation::never;
        continue;
      }
      self.end = batch.what;
      break;
    }
    if (self.open != nullptr && self.open->fetch_sub(1) == 1) self.open->notify_all();
  }
};

struct world {
  explicit world(const push_settings& settings = {}) : hub{settings, clock, log} {}
  ~world() {
    for (const auto& r : readers) {
      r->cancel.fire(runtime::cancel_reason::client_left);
      turn();
      r->subscription = {};
    }
  }
  reader& join(push_filter filter, bool reading = true) {
    readers.push_back(std::make_unique<reader>());
    reader& r = *readers.back();
    auto made = hub.subscribe(loop, std::move(filter));
    EXPECT_TRUE(made.has_value());
    r.subscription = std::move(*made);
    if (reading) reader::read(r);
    return r;
  }
  void turn() {
    while (loop.turn(0ns)) {
    }
  }
  void advance(foundation::duration by) {
    turn();
    clock.advance(by);
    turn();
  }

  foundation::manual_clock clock;
  observe::captured_log lines;
  observe::logger log{lines, clock};
  runtime::loop loop{clock};
  push_hub hub;
  std::vector<std::unique_ptr<reader>> readers;
};

TEST(push_hub, a_push_is_one_server_sent_event) {
  std::string text;
  append_event(text, chunk("run", 3));
  EXPECT_EQ(text, "id: run:1:3\nevent: skill:stream:chunk\ndata: {\"seq\":3}\n\n");
}

TEST(push_hub, subscribers_get_what_is_published_behind_their_coming_in_order) {
  world w;
  w.hub.publish(control("run", 1));
  reader& r = w.join(all_of("k"));
  w.hub.publish(control("run", 2));
  w.hub.publish(chunk("run", 1));
  w.turn();
  EXPECT_EQ(r.ids, (std::vector<std::string>{"run:0:2", "run:1:1"}));
  EXPECT_EQ(r.batches, 1) << "what is ready goes together";
  EXPECT_NE(r.text.find("event: skill:queue:status\n"), std::string::npos);
}

TEST(push_hub, filters_and_grants_decide_who_sees_what) {
  world w;
  push in_a = control("run-a", 1, "k1");
  in_a.project = "a";
  push in_b = control("run-b", 1, "k1");
  in_b.project = "b";
  const push none = control("run-n", 1, "k1");
  reader& owner = w.join({.who = key("k1", {"a"})});
  reader& granted = w.join({.who = key("k2", {"a", "b"})});
  reader& stranger = w.join({.who = key("k3", {"c"})});
  reader& only_b = w.join({.who = key("k2"), .project = "b"});
  reader& by_id = w.join({.who = key("k2"), .session = "s"});
  reader& by_key = w.join({.who = key("k2"), .session = "session:s", .execution_id = "run-b"});
  reader& elsewhere = w.join({.who = key("k2"), .session = "t"});
  reader& one_run = w.join({.who = key("k1"), .execution_id = "run-n"});
  policy::principal admin = key("root", {});
  admin.role = policy::caller_role::admin;
  reader& sees_all = w.join({.who = admin});
  for (const push& p : {in_a, in_b, none}) w.hub.publish(p);
  w.turn();
  using ids = std::vector<std::string>;
  EXPECT_EQ(owner.ids, (ids{"run-a:0:1", "run-n:0:1"}));
  EXPECT_EQ(granted.ids, (ids{"run-a:0:1", "run-b:0:1"})) << "what has no project is its key's own";
  EXPECT_EQ(stranger.ids, ids{});
  EXPECT_EQ(only_b.ids, ids{"run-b:0:1"});
  EXPECT_EQ(by_id.ids, (ids{"run-a:0:1", "run-b:0:1"}));
  EXPECT_EQ(by_key.ids, ids{"run-b:0:1"});
  EXPECT_EQ(elsewhere.ids, ids{});
  EXPECT_EQ(one_run.ids, ids{"run-n:0:1"});
  EXPECT_EQ(sees_all.ids.size(), 3U);
}

// T137
TEST(push_hub, a_subscriber_that_names_its_last_event_goes_on_behind_it) {
  world w;
  for (std::uint64_t i = 1; i <= 5; ++i) w.hub.publish(chunk("run", i));
  w.hub.publish(control("run", 9));
  push_filter filter = all_of("k");
  filter.last_event_id = "run:1:3";
  reader& r = w.join(filter);
  w.turn();
  EXPECT_EQ(r.ids, (std::vector<std::string>{"run:1:4", "run:1:5", "run:0:9"}));
  w.hub.publish(control("run", 10));
  w.turn();
  EXPECT_EQ(r.ids.back(), "run:0:10");
  EXPECT_EQ(r.ids.size(), 4U);
}

TEST(push_hub, an_id_that_is_not_kept_means_from_now_on) {
  world w{{.event_replay = 3}};
  for (std::uint64_t i = 1; i <= 5; ++i) w.hub.publish(control("run", i));
  for (const char* id : {"", "no such id", "run:0:1", "run:0:2"}) {
    push_filter filter = all_of("k");
    filter.last_event_id = id;
    reader& r = w.join(filter);
    w.turn();
    EXPECT_TRUE(r.ids.empty()) << id;
  }
  push_filter filter = all_of("k");
  filter.last_event_id = "run:0:3";
  EXPECT_EQ(w.join(filter).ids.size(), 2U);
  EXPECT_EQ(w.hub.subscriptions(), 5U);
}

TEST(push_hub, the_ring_is_bounded_in_bytes_too) {
  world w{{.replay_bytes = 1'000}};
  for (std::uint64_t i = 1; i <= 100; ++i) w.hub.publish(control("run", i));
  push_filter filter = all_of("k");
  filter.last_event_id = "run:0:1";
  EXPECT_TRUE(w.join(filter).ids.empty()) << "gone long ago";
  filter.last_event_id = "run:0:99";
  EXPECT_EQ(w.join(filter).ids.size(), 1U);
}

TEST(push_hub, T53_chunks_over_the_limit_are_dropped_and_controls_pass) {
  world w{{.chunks_per_second = 2}};
  reader& r = w.join(all_of("k"));
  for (std::uint64_t i = 1; i <= 4; ++i) w.hub.publish(chunk("run", i));
  w.hub.publish(control("run", 1));
  w.hub.publish(control("run", 2));
  w.turn();
  EXPECT_EQ(r.ids, (std::vector<std::string>{"run:1:1", "run:1:2", "run:0:1", "run:0:2"}));
  const auto logged = w.lines.of("ipc_push_backpressure_triggered");
  ASSERT_EQ(logged.size(), 1U);
  for (const char* field :
       {R"("channel":"skill:stream:chunk")", R"("limitPerSecond":2)", R"("droppedInWindow":1)"}) {
    EXPECT_NE(logged[0].find(field), std::string::npos) << logged[0];
  }
}

TEST(push_hub, T96_whoever_lost_chunks_has_the_whole_text_in_done) {
  world w{{.chunks_per_second = 1}};
  reader& r = w.join(all_of("k"));
  for (std::uint64_t i = 1; i <= 3; ++i) w.hub.publish(chunk("run", i));
  push done = control("run", 4);
  done.name = "skill:stream:done";
  done.payload = R"({"outputText":"whole"})";
  w.hub.publish(done);
  w.turn();
  EXPECT_EQ(r.ids, (std::vector<std::string>{"run:1:1", "run:0:4"}));
  EXPECT_NE(r.text.find(R"("outputText":"whole")"), std::string::npos);
}

TEST(push_hub, replayed_chunks_wait_for_the_window_instead_of_being_dropped) {
  world w{{.chunks_per_second = 2}};
  for (std::uint64_t i = 1; i <= 6; ++i) w.hub.publish(chunk("run", i));
  push_filter filter = all_of("k");
  filter.last_event_id = "run:1:1";
  reader& r = w.join(filter);
  w.turn();
  EXPECT_EQ(r.ids.size(), 2U);
  w.hub.publish(control("run", 1));
  w.advance(1s);
  EXPECT_EQ(r.ids.size(), 4U);
  w.advance(1s);
  EXPECT_EQ(r.ids,
            (std::vector<std::string>{"run:1:2", "run:1:3", "run:1:4", "run:1:5", "run:1:6", "run:0:1"}));
}

TEST(push_hub, a_reader_that_does_not_read_loses_chunks_first) {
  world w{{.buffer = 1'000}};
  reader& r = w.join(all_of("k"), false);
  for (std::uint64_t i = 1; i <= 100; ++i) {
    w.hub.publish(chunk("run", i));
    if (i % 10 == 0) w.hub.publish(control("run", i));
  }
  reader::read(r);
  w.turn();
  const auto controls =
      std::ranges::count_if(r.ids, [](const std::string& id) { return id.starts_with("run:0:"); });
  EXPECT_EQ(controls, 10);
  EXPECT_LT(r.ids.size(), 40U);
  EXPECT_EQ(w.lines.of("ipc_push_backpressure_triggered").size(), 1U);
}

TEST(push_hub, a_reader_with_too_many_controls_unread_is_cut_off_and_resumes_by_id) {
  world w;
  reader& r = w.join(all_of("k"), false);
  w.hub.publish(control("run", 0));
  reader::read(r);
  ASSERT_EQ(r.ids.size(), 1U);
  r.cancel.fire(runtime::cancel_reason::client_left);
  w.turn();

  reader& slow = w.join(all_of("k"), false);
  for (std::uint64_t i = 1; i <= push_hub::control_events_max + 1; ++i) w.hub.publish(control("run", i));
  reader::read(slow);
  w.turn();
  EXPECT_EQ(slow.end, state::cut_off);
  EXPECT_TRUE(slow.ids.empty());
  push_filter filter = all_of("k");
  filter.last_event_id = r.ids.back();
  EXPECT_EQ(w.join(filter).ids.size(), push_hub::control_events_max + 1);
}

// T149
TEST(push_hub, the_501st_subscription_of_a_key_is_refused) {
  world w;
  std::vector<push_hub::subscription> held;
  for (int i = 0; i < 500; ++i) {
    auto made = w.hub.subscribe(w.loop, all_of("k"));
    ASSERT_TRUE(made.has_value());
    held.push_back(std::move(*made));
  }
  const auto over = w.hub.subscribe(w.loop, all_of("k"));
  ASSERT_FALSE(over.has_value());
  EXPECT_EQ(over.error().code, foundation::error_code::ipc_subscription_limit_exceeded);
  EXPECT_EQ(over.error().details, R"({"limit":500})");
  EXPECT_TRUE(w.hub.subscribe(w.loop, all_of("other")).has_value());
  push_filter own = all_of("k");
  own.counted = false;
  EXPECT_TRUE(w.hub.subscribe(w.loop, own).has_value());
  held.pop_back();
  EXPECT_TRUE(w.hub.subscribe(w.loop, all_of("k")).has_value());
}

TEST(push_hub, an_idle_reader_hears_of_it_and_a_cancelled_one_leaves) {
  world w;
  reader& r = w.join(all_of("k"), false);
  r.until = w.clock.now() + 15s;
  reader::read(r);
  w.advance(15s - 1ns);
  EXPECT_EQ(r.idle, 0);
  w.advance(1ns);
  EXPECT_EQ(r.idle, 1);
  r.cancel.fire(runtime::cancel_reason::client_left);
  w.turn();
  EXPECT_EQ(r.end, state::canceled);
}

TEST(push_hub, a_key_can_be_cut_and_the_hub_closed) {
  world w;
  reader& gone = w.join(all_of("k1"));
  reader& stays = w.join(all_of("k2"));
  reader& of_run = w.join({.who = key("k1"), .execution_id = "run"});
  w.hub.cut("k1");
  w.turn();
  EXPECT_EQ(gone.end, state::cut_off);
  EXPECT_EQ(of_run.end, state::cut_off);
  w.hub.publish(control("run", 1, "k2"));
  w.hub.close();
  w.turn();
  EXPECT_EQ(stays.ids.size(), 1U) << "what waits is given first";
  EXPECT_EQ(stays.end, state::closed);
  EXPECT_FALSE(w.hub.subscribe(w.loop, all_of("k1")).has_value());
}

// C3: subscribers that leave and come back at any moment miss nothing and see nothing twice.
TEST(push_hub, ten_thousand_subscribers_reconnect_without_loss_or_doubling) {
  constexpr std::size_t subscribers = 10'000;
  constexpr std::size_t runs = 5;
  constexpr std::size_t rounds = 150;
  foundation::random_source random{11};
  world w{{.max_subscriptions = subscribers + 1, .buffer = std::size_t{1} << 24}};
  // Most follow a single run, one in twenty all of them.
  const auto followed = [](std::size_t i) { return i % 20 == 0 ? runs : i % runs; };
  const auto filter_of = [&](std::size_t i) {
    push_filter filter = all_of("k");
    if (followed(i) < runs) filter.execution_id = "run" + std::to_string(followed(i));
    return filter;
  };
  for (std::size_t i = 0; i < subscribers; ++i) w.join(filter_of(i)).folding = true;
  reader& witness = w.join(all_of("k"));
  std::uint64_t published = 0;
  const auto publish = [&](std::size_t run) {
    const std::string execution = "run" + std::to_string(run);
    ++published;
    w.hub.publish(random.below(3) == 0 ? control(execution, published) : chunk(execution, published));
  };
  for (std::size_t run = 0; run < runs; ++run) publish(run);  // everyone has an id to name
  w.turn();
  std::size_t reconnects = 0;
  for (std::size_t round = 0; round < rounds; ++round) {
    publish(random.below(runs));
    if (random.below(3) == 0) w.turn();
    std::vector<std::size_t> away;
    for (int n = 0; n < 80; ++n) away.push_back(random.below(subscribers));
    std::ranges::sort(away);
    away.erase(std::ranges::unique(away).begin(), away.end());
    for (const std::size_t i : away) w.readers[i]->cancel.fire(runtime::cancel_reason::client_left);
    w.turn();
    for (const std::size_t i : away) w.readers[i]->subscription = {};
    for (auto n = random.below(3); n > 0; --n) publish(random.below(runs));
    for (const std::size_t i : away) {
      auto back = std::make_unique<reader>();
      back->folding = true;
      back->seen = w.readers[i]->seen;
      back->fold = w.readers[i]->fold;
      push_filter filter = filter_of(i);
      filter.last_event_id = w.readers[i]->last;
      back->last = w.readers[i]->last;
      w.readers[i] = std::move(back);
      auto made = w.hub.subscribe(w.loop, std::move(filter));
      ASSERT_TRUE(made.has_value());
      w.readers[i]->subscription = std::move(*made);
      reader::read(*w.readers[i]);
      ++reconnects;
    }
    if (random.below(2) == 0) w.clock.advance(100ms);
  }
  w.turn();
  ASSERT_EQ(witness.ids.size(), published);
  std::vector<reader> expected(runs + 1);  // of each run, then of all
  for (const std::string& id : witness.ids) {
    expected[static_cast<std::size_t>(id[3] - '0')].note(id);
    expected[runs].note(id);
  }
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < subscribers; ++i) {
    const reader& right = expected[followed(i)];
    const reader& r = *w.readers[i];
    wrong += r.seen == right.seen && r.fold == right.fold && r.last == right.last ? 0U : 1U;
  }
  std::cout << "push_hub: " << subscribers << " subscribers, " << reconnects << " reconnects, " << published
            << " events, " << wrong << " with a loss or a doubling\n";
  EXPECT_EQ(wrong, 0U);
  EXPECT_GT(reconnects, 10'000U);
}

// Publishers and readers on threads of their own: every reader sees every publisher's pushes once, in order.
TEST(push_hub, publishers_and_loops_on_their_own_threads_lose_nothing) {
  constexpr std::size_t threads = 3;
  constexpr std::size_t pushes = 2'000;  // of each publisher
  foundation::system_clock clock;
  observe::captured_log lines;
  observe::logger log{lines, clock};
  push_hub hub{{.chunks_per_second = 1'000'000, .buffer = std::size_t{1} << 26}, clock, log};
  std::vector<std::unique_ptr<runtime::loop>> loops;
  std::vector<std::unique_ptr<reader>> readers;
  std::atomic<int> open = threads * 4;
  for (std::size_t i = 0; i < threads; ++i) loops.push_back(std::make_unique<runtime::loop>(clock));
  for (std::size_t i = 0; i < threads * 4; ++i) {
    readers.push_back(std::make_unique<reader>());
    auto made = hub.subscribe(*loops[i % threads], all_of("k"));
    ASSERT_TRUE(made.has_value());
    readers.back()->subscription = std::move(*made);
    readers.back()->open = &open;
    loops[i % threads]->post([r = readers.back().get()] { reader::read(*r); });
  }
  std::vector<std::thread> running;
  for (const auto& loop : loops) running.emplace_back([&loop] { loop->run(); });
  std::vector<std::thread> publishers;
  for (std::size_t p = 0; p < threads; ++p) {
    publishers.emplace_back([&hub, p] {
      for (std::uint64_t i = 1; i <= pushes; ++i) hub.publish(chunk("run" + std::to_string(p), i));
    });
  }
  for (auto& t : publishers) t.join();
  hub.close();
  for (int left = open; left > 0; left = open) open.wait(left);
  for (const auto& loop : loops) loop->stop();
  for (auto& t : running) t.join();
  for (const auto& r : readers) {
    EXPECT_EQ(r->end, state::closed);
    ASSERT_EQ(r->ids.size(), threads * pushes);
    std::vector<std::uint64_t> next(threads, 1);
    for (const std::string& id : r->ids) {
      const std::size_t p = static_cast<std::size_t>(id[3] - '0');
      EXPECT_EQ(id, push_id("run" + std::to_string(p), 1, next[p]++));
    }
    r->subscription = {};
  }
}

// COST-2: an alert concerns all that its key does.
TEST(push_hub, what_concerns_a_whole_key_passes_filters_by_project_and_session) {
  foundation::manual_clock clock;
  observe::captured_log lines;
  observe::logger log{lines, clock};
  runtime::loop loop{clock};
  push_hub hub{{}, clock, log};
  push alert;
  alert.name = "cost:alert";
  alert.payload = "{}";
  alert.key_id = "k";
  alert.of_whole_key = true;
  policy::principal admin = key("boss");
  admin.role = policy::caller_role::admin;
  struct watched {
    push_filter filter;
    bool hears;
  };
  for (const watched& each :
       {watched{{.who = key("k"), .project = "p"}, true}, watched{{.who = key("k"), .session = "s"}, true},
        watched{{.who = admin, .project = "p"}, true}, watched{{.who = key("other"), .project = "p"}, false},
        watched{{.who = key("k"), .execution_id = "e"}, false}}) {
    auto to = hub.subscribe(loop, each.filter);
    ASSERT_TRUE(to.has_value());
    alert.id = push_id("cost-k", 0, 1);
    hub.publish(alert);
    runtime::cancel_source left;
    left.fire(runtime::cancel_reason::client_left);
    bool heard = false;
    [](push_hub::subscription& from, runtime::cancel_source& cancel, bool& out) -> runtime::detached {
      out = (co_await from.next(cancel, foundation::never)).what == state::events;
    }(*to, left, heard);
    EXPECT_EQ(heard, each.hears) << each.filter.who.id << each.filter.project << each.filter.session;
  }
}

}  // namespace
}  // namespace tidegate::session
