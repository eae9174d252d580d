// Rows of usage between the record and their store (COST-3): none is lost by a crash or a stop.
#include "session/usage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/state_fold.h"
#include "kit/recorded_journal.h"
#include "observe/captured_log.h"
#include "storage/memory/memory_stores.h"

namespace tidegate::session {
namespace {

using namespace std::chrono_literals;
using testing::SizeIs;

// One store, and one process after the other that writes to it.
struct world {
  void begin(std::vector<gateway::usage_entry> unconfirmed = {}) {
    book.emplace(stores->usage(), log, clock.wall());
    book->restore(std::move(unconfirmed), clock.wall());
  }
  void spend(const std::string& id) {
    storage::usage_call c;
    c.id = c.request_id = id;
    c.key_id = "k";
    c.session_id = "session:s";
    c.model = "gpt-4o";
    c.skill_id = "builtin:polish";
    c.input_tokens = 1'000;
    c.output_tokens = 200;
    c.cached_tokens = 500;
    c.cache_hit = true;
    c.duration_ms = 17;
    c.micro_usd = 5'250;
    c.warning = "COST_PRICING_STALE";
    c.created_at = clock.wall();
    book->record(journal, c);
  }
  // What a start finds on the record, read and saved once more.
  std::vector<gateway::usage_entry> on_record() const {
    gateway::state_fold fold;
    for (const std::string& line : journal.lines()) {
      journal::record_view r;
      r.time = clock.wall();
      r.payload = line;
      fold.apply(r);
    }
    gateway::state_fold loaded;
    EXPECT_TRUE(loaded.load(fold.save()));
    return loaded.usage();
  }
  std::vector<std::string> names_on_record() const {
    std::vector<std::string> ids;
    for (const gateway::usage_entry& e : on_record()) ids.push_back(e.call.id);
    return ids;
  }
  storage::usage_totals totals() {
    return *storage::wait_for<storage::usage_totals>(
        [&](auto a) { stores->usage().totals({}, std::move(a)); });
  }
  std::int64_t requests() {
    std::int64_t n = 0;
    for (const storage::usage_sum& s : totals().sums) n += s.requests;
    return n;
  }
  std::vector<storage::usage_call> calls_of(const std::string& id) {
    return *storage::wait_for<std::vector<storage::usage_call>>(
        [&](auto a) { stores->usage().calls_of("k", id, std::move(a)); });
  }

  foundation::manual_clock clock;
  observe::captured_log lines;
  observe::logger log{lines, clock};
  bool broken = false;
  std::unique_ptr<storage::stores> stores = storage::memory::make(nullptr, {}, [this] { return broken; });
  kit::recorded_journal journal;
  std::optional<usage_book> book;
};

TEST(usage_book, rows_that_a_crash_kept_from_the_store_come_back_from_the_record) {
  world crashed;
  crashed.begin();
  crashed.spend("a");
  crashed.broken = true;  // from here on nothing reaches the store
  crashed.spend("b");
  crashed.spend("c");
  const auto found = crashed.on_record();
  ASSERT_THAT(found, SizeIs(2)) << "what the store has confirmed need not be told again";
  crashed.book.reset();
  crashed.broken = false;
  EXPECT_EQ(crashed.requests(), 1);
  for (int start = 0; start < 2; ++start) {
    crashed.begin(found);
    EXPECT_EQ(crashed.requests(), 3) << "however often";
  }
  storage::usage_call b = crashed.calls_of("b").at(0);
  const storage::usage_call a = crashed.calls_of("a").at(0);
  b.id = b.request_id = "a";
  EXPECT_EQ(b, a) << "the record holds the whole row";
}

TEST(usage_book, numbers_go_on_behind_a_restart) {
  world w;
  w.begin();
  for (const char* const id : {"a", "b", "c"}) w.spend(id);
  EXPECT_EQ(w.names_on_record(), std::vector<std::string>{"c"}) << "no record says yet that it is stored";
  w.begin(w.on_record());
  w.spend("d");
  EXPECT_EQ(w.names_on_record(), std::vector<std::string>{"d"});
  w.broken = true;
  w.spend("e");
  w.begin(w.on_record());  // the store is still down
  w.broken = false;
  w.begin(w.on_record());
  EXPECT_EQ(w.requests(), 5);
}

TEST(usage_book, what_the_store_may_have_forgotten_is_not_offered_to_it_again) {
  world w;
  w.begin();
  w.spend("a");
  const auto found = w.on_record();
  ASSERT_THAT(found, SizeIs(1));
  static_cast<void>(storage::wait_for<std::size_t>(
      [&](auto a) { w.stores->usage().purge(w.clock.wall() + 720h, 100, std::move(a)); }));
  w.clock.advance(720h);
  w.begin(found);
  EXPECT_EQ(w.requests(), 1) << "it was stored and counted, then purged";
}

TEST(usage_book, an_orderly_stop_hands_over_what_waits) {
  world w;
  w.begin();
  w.broken = true;
  w.spend("a");
  w.spend("b");
  w.broken = false;
  w.book.reset();
  EXPECT_EQ(w.requests(), 2);
  EXPECT_THAT(w.lines.of("ai_cost_persistence_degraded"), SizeIs(0));
}

TEST(usage_book, a_stop_does_not_hang_on_a_store_that_refuses) {
  world w;
  w.begin();
  w.broken = true;
  w.spend("a");
  w.book.reset();
  EXPECT_THAT(w.lines.of("ai_cost_persistence_degraded"), SizeIs(1));
  EXPECT_EQ(w.names_on_record(), std::vector<std::string>{"a"}) << "for the next start";
}

}  // namespace
}  // namespace tidegate::session
