// Resets of accounts, and accounts that are dropped: on the record, and the same sums on both sides whatever
// the order in which loops hand their records over, and wherever a crash cuts them off (BUD-8, T148).
#include "gateway/budget_reset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <iostream>
#include <map>
#include <optional>

#include "gateway/restart_records.h"
#include "gateway/state_fold.h"
#include "kit/world.h"

namespace tidegate::gateway {
namespace {

using namespace std::chrono_literals;
using kit::ask;
using kit::world;
using policy::account_scope;
using policy::account_unit;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using reset_result = std::expected<reset_totals, foundation::failure>;

reset_result reset_now(world& w, account_scope scope, std::string id) {
  std::optional<reset_result> result;
  [](world& in, budget_reset what, std::optional<reset_result>& out) -> runtime::detached {
    out = co_await reset_budget(in.shared, in.services, std::move(what));
  }(w, {scope, std::move(id), "trace-1", "admin-1"}, result);
  w.settle();
  return result.value();
}

std::int64_t settled(world& w, account_scope scope, account_unit unit, std::string_view id) {
  return w.shared.ledger().with([&](policy::ledger& l) { return l.of(scope, unit, id).settled; });
}

void charge(world& w, account_scope scope, account_unit unit, std::string_view id, std::int64_t amount) {
  w.shared.ledger().with([&](policy::ledger& l) { l.charge(scope, unit, id, amount); });
}

ask in_session(std::string session) {
  ask a;
  a.who.session = std::move(session);
  return a;
}

TEST(budget_reset, T148_a_spent_session_runs_again_after_its_reset) {
  world w;
  charge(w, account_scope::session, account_unit::tokens, "local/s", 200'000);
  EXPECT_EQ(w.run(in_session("s")).code(), "AI_SESSION_TOKEN_BUDGET_EXCEEDED");
  const auto before = reset_now(w, account_scope::session, "local/s");
  ASSERT_TRUE(before);
  EXPECT_EQ(before->tokens, 200'000);
  EXPECT_EQ(w.run(in_session("s")).code(), "OK");
  ASSERT_THAT(w.journal.of("budget_reset"), SizeIs(1));
  EXPECT_THAT(
      w.journal.of("budget_reset").front(),
      HasSubstr(R"("traceId":"trace-1","account":"session:local/s","previousTotal":200000,"by":"admin-1")"));
}

TEST(budget_reset, a_key_is_reset_in_its_present_period_and_in_both_units) {
  kit::setup s;
  s.adjust = [](snapshot& next) { next.policies.front().period = policy::budget_period::day; };
  world w{s};
  const std::string today = "local" + policy::period_suffix(policy::budget_period::day, w.clock.wall());
  charge(w, account_scope::key, account_unit::tokens, today, 10);
  charge(w, account_scope::key, account_unit::micro_usd, today, 20);
  charge(w, account_scope::key, account_unit::tokens, "local", 30);
  charge(w, account_scope::guard, account_unit::micro_usd, "local", 40);
  const auto before = reset_now(w, account_scope::key, "local");
  ASSERT_TRUE(before);
  EXPECT_EQ(before->tokens, 10);
  EXPECT_EQ(before->micro_usd, 20);
  EXPECT_EQ(settled(w, account_scope::key, account_unit::tokens, "local"), 30);
  EXPECT_EQ(reset_now(w, account_scope::guard, "local")->micro_usd, 40);
  EXPECT_THAT(w.fields("budget_reset", "account"),
              ElementsAre("key:" + today, "usd:key:" + today, "usd:guard:local"));
}

TEST(budget_reset, what_is_reserved_stays_and_settles_into_the_new_total) {
  world w;
  charge(w, account_scope::session, account_unit::tokens, "local/s", 500);
  w.upstream.next(kit::P, kit::hangs());
  kit::exchange& run = w.start(in_session("s"));
  ASSERT_TRUE(reset_now(w, account_scope::session, "local/s"));
  run.reply.gone().fire(runtime::cancel_reason::client_left);
  w.settle();
  const std::int64_t after = settled(w, account_scope::session, account_unit::tokens, "local/s");
  EXPECT_GT(after, 0);
  EXPECT_LT(after, 500);
}

TEST(budget_reset, what_cannot_be_recorded_is_not_reset) {
  world stopped;
  charge(stopped, account_scope::session, account_unit::tokens, "local/s", 5);
  stopped.journal.break_now();
  const auto refused = reset_now(stopped, account_scope::session, "local/s");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, foundation::error_code::db_error);
  EXPECT_EQ(settled(stopped, account_scope::session, account_unit::tokens, "local/s"), 5);

  world lost;
  charge(lost, account_scope::session, account_unit::tokens, "local/s", 5);
  lost.journal.break_after(1);
  EXPECT_FALSE(reset_now(lost, account_scope::session, "local/s"));
  EXPECT_EQ(settled(lost, account_scope::session, account_unit::tokens, "local/s"), 5);
}

TEST(budget_reset, an_id_that_names_no_account_is_refused) {
  world w;
  for (const std::size_t size : {std::size_t{0}, account_id_max + 1}) {
    const auto refused = reset_now(w, account_scope::session, std::string(size, 'x'));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, foundation::error_code::invalid_argument);
  }
  EXPECT_THAT(w.journal.of("budget_reset"), IsEmpty());
}

TEST(stale_accounts, what_is_dropped_leaves_ledger_and_fold_alike) {
  world w;
  state_fold fold;
  std::uint64_t sequence = 0;
  const auto apply = [&](std::string_view line) {
    fold.apply({++sequence, w.clock.wall(), journal::record_type::event, line});
  };
  w.shared.ledger().with([&](policy::ledger& l) { l.tell_time(w.clock.wall()); });
  w.run(in_session("old"));
  w.advance(720h);
  w.shared.ledger().with([&](policy::ledger& l) { l.tell_time(w.clock.wall()); });
  w.run(in_session("young"));
  for (const std::string& line : w.journal.lines()) apply(line);
  w.advance(2h);
  const std::size_t dropped =
      drop_stale_accounts(w.shared, w.clock.wall(), {.session_idle = 720h, .project_idle = {}}, apply);
  EXPECT_EQ(dropped, 1U);
  EXPECT_EQ(settled(w, account_scope::session, account_unit::tokens, "local/old"), 0);
  EXPECT_GT(settled(w, account_scope::session, account_unit::tokens, "local/young"), 0);

  state_fold again;
  ASSERT_TRUE(again.load(fold.save()));
  policy::ledger restored;
  again.restore(restored);
  w.shared.ledger().with([&](policy::ledger& live) {
    EXPECT_EQ(restored.accounts(), live.accounts());
    live.each([&](account_scope scope, account_unit unit, std::string_view id, policy::balance b) {
      EXPECT_EQ(restored.of(scope, unit, id).settled, b.settled) << id;
    });
  });
}

TEST(stale_accounts, an_account_keeps_its_age_through_a_restart) {
  const foundation::wall_time first{foundation::milliseconds{1'700'000'000'000}};
  state_fold fold;
  fold.apply({1, first, journal::record_type::event,
              R"({"event":"ai_budget_settled","runId":"r","leg":1,"accounts":["session:k/s"],"tokens":9})"});
  fold.apply({2, first + 719h, journal::record_type::event, R"({"event":"other"})"});
  state_fold again;
  ASSERT_TRUE(again.load(fold.save()));
  policy::ledger books;
  books.tell_time(first + 719h);
  again.restore(books);
  const policy::stale_rule rule{.session_idle = 720h, .project_idle = {}};
  EXPECT_THAT(books.drop_stale(first + 720h, rule, 10), IsEmpty());
  EXPECT_THAT(books.drop_stale(first + 721h, rule, 10), SizeIs(1));
}

// A state that an earlier release saved says nothing of ages: they begin with its next save.
TEST(stale_accounts, a_state_without_ages_is_taken_as_it_is) {
  state_fold fold;
  ASSERT_TRUE(fold.load(
      R"({"version":1,"settled":{"session:k/s":7,"usd:key:k":-3},"open":[],"health":[],"stamps":{}})"));
  policy::ledger books;
  books.tell_time(foundation::wall_time{std::chrono::hours{480'000}});
  fold.restore(books);
  EXPECT_EQ(books.of(account_scope::session, account_unit::tokens, "k/s").settled, 7);
  EXPECT_EQ(books.of(account_scope::key, account_unit::micro_usd, "k").settled, 0);
  EXPECT_THAT(books.drop_stale(foundation::wall_time{std::chrono::hours{480'001}},
                               {.session_idle = 1h, .project_idle = {}}, 10),
              IsEmpty());
}

// --- random interleavings of loops' records, and crashes between them

struct account {
  account_scope scope;
  account_unit unit;
  std::string id;
};

// Loops that reserve, settle and reset on one ledger, and hand their records over whenever they like.
class shop {
 public:
  explicit shop(std::uint64_t seed) : random_{seed} {
    for (const char* id : {"a", "b"}) {
      accounts_.push_back({account_scope::session, account_unit::tokens, id});
      accounts_.push_back({account_scope::guard, account_unit::micro_usd, id});
    }
  }
  ~shop() {
    for (leg& l : legs_) books_.release(l.held);
  }
  shop(const shop&) = delete;
  shop& operator=(const shop&) = delete;

  void step() {
    const auto roll = random_.below(100);
    if (roll < 30) return reserve();
    if (roll < 65) return settle();
    if (roll < 75) return reset();
    if (!lines_.empty()) hand_over(random_.below(loops), 1 + random_.below(4));
  }

  void hand_over_all() {
    for (std::size_t loop = 0; loop < loops; ++loop) hand_over(loop, lines_[loop].size());
  }

  // Legs whose start is on the record may have been sent: the others' records are not waited for here.
  void end_legs() {
    while (!legs_.empty()) settle();
  }

  // What is in no journal is gone; what the last writes carried may be cut anywhere.
  void crash() {
    const auto live = totals_of(books_);
    for (leg& l : legs_) books_.release(l.held);
    legs_.clear();
    for (auto& line : lines_) line.clear();
    books_ = policy::ledger{};
    fold_.restore(books_);
    for (const restart_record& r : restart_records(fold_)) apply(r.payload);
    compare("after a crash");
    if (overruns) return;
    // Nothing that was used is forgotten: what was lost of it counts as it was reserved.
    for (const auto& [name, amount] : live) EXPECT_GE(totals_of(books_)[name], amount) << name;
  }

  void compare(std::string_view when) {
    policy::ledger from_record;
    fold_.restore(from_record);
    EXPECT_EQ(totals_of(from_record), totals_of(books_)) << when;
    EXPECT_THAT(fold_.overdrawn(), IsEmpty()) << when;
    state_fold again;
    ASSERT_TRUE(again.load(fold_.save()));
    policy::ledger from_state;
    again.restore(from_state);
    EXPECT_EQ(totals_of(from_state), totals_of(books_)) << when;
  }

  std::size_t resets = 0, settlements = 0;
  bool overruns = false;

 private:
  static constexpr std::size_t loops = 3;
  struct leg {
    std::uint64_t id;
    std::size_t loop;
    std::int64_t amount;
    policy::reservation held;
    std::string accounts;
  };

  static std::map<std::string, std::int64_t> totals_of(const policy::ledger& books) {
    std::map<std::string, std::int64_t> all;
    books.each([&](account_scope scope, account_unit unit, std::string_view id, policy::balance b) {
      if (b.settled != 0) all[to_text({scope, unit, id})] = b.settled;
    });
    return all;
  }

  template <class Members>
  void append(std::size_t loop, std::string_view event, Members&& members) {
    std::string text;
    protocol::json::writer w{text};
    w.begin_object().member("event", event);
    members(w);
    w.end_object();
    lines_[loop].push_back(std::move(text));
  }

  void reserve() {
    leg l{++last_, random_.below(loops), static_cast<std::int64_t>(1 + random_.below(50)), {}, {}};
    const std::size_t who = 2 * random_.below(2);
    const std::array demands{
        policy::demand{accounts_[who].scope, accounts_[who].unit, accounts_[who].id, 0, l.amount},
        policy::demand{accounts_[who + 1].scope, accounts_[who + 1].unit, accounts_[who + 1].id, 0,
                       l.amount}};
    l.held = std::move(*books_.reserve(demands));
    protocol::json::writer w{l.accounts};
    w.begin_array();
    for (const auto& d : demands) w.string(to_text({d.scope, d.unit, d.id}));
    w.end_array();
    const std::string run = "run-" + std::to_string(l.id);
    append(l.loop, "ai_budget_reserved", [&](protocol::json::writer& to) {
      to.member("runId", run).member("leg", 1).key("accounts").raw(l.accounts);
      to.member("tokens", l.amount).member("microUsd", l.amount);
    });
    append(l.loop, "ai_leg_started",
           [&](protocol::json::writer& to) { to.member("runId", run).member("leg", 1); });
    // Nothing is sent before the journal has it.
    hand_over(l.loop, lines_[l.loop].size());
    legs_.push_back(std::move(l));
  }

  void settle() {
    if (legs_.empty()) return;
    std::swap(legs_[random_.below(legs_.size())], legs_.back());
    leg& l = legs_.back();
    const auto beyond = overruns ? 20U : 0U;
    const auto used =
        static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(l.amount) + 1 + beyond));
    const bool released = random_.below(8) == 0;
    ++settlements;
    if (released) {
      books_.release(l.held);
    } else {
      books_.settle(l.held, used, used);
    }
    append(l.loop, released ? "ai_budget_released" : "ai_budget_settled", [&](protocol::json::writer& to) {
      to.member("runId", "run-" + std::to_string(l.id)).member("leg", 1).key("accounts").raw(l.accounts);
      to.member("tokens", used).member("microUsd", used);
    });
    legs_.pop_back();
  }

  void reset() {
    const account& a = accounts_[random_.below(accounts_.size())];
    const std::int64_t before = books_.reset(a.scope, a.unit, a.id);
    ++resets;
    append(random_.below(loops), "budget_reset", [&](protocol::json::writer& to) {
      to.member("account", to_text({a.scope, a.unit, a.id})).member("previousTotal", before);
    });
  }

  void hand_over(std::size_t loop, std::size_t count) {
    for (; count > 0 && !lines_[loop].empty(); --count) {
      apply(lines_[loop].front());
      lines_[loop].pop_front();
    }
  }

  void apply(std::string_view payload) {
    fold_.apply({++sequence_, foundation::wall_time{1h}, journal::record_type::event, payload});
  }

  foundation::random_source random_;
  policy::ledger books_;
  state_fold fold_;
  std::vector<account> accounts_;
  std::vector<leg> legs_;
  std::array<std::deque<std::string>, loops> lines_;
  std::uint64_t last_ = 0;
  std::uint64_t sequence_ = 0;
};

TEST(budget_reset, loops_records_add_up_to_the_ledger_in_any_order_and_through_crashes) {
  constexpr std::uint64_t seeds = 600;
  std::size_t resets = 0;
  std::size_t settlements = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    shop s{seed};
    s.overruns = seed % 2 == 0;
    foundation::random_source length{seed};
    for (int life = 0; life < 4; ++life) {
      const auto steps = 20 + length.below(150);
      for (std::uint64_t i = 0; i < steps; ++i) s.step();
      if (life % 2 == 0) {
        s.crash();
      } else {
        s.end_legs();
        s.hand_over_all();
        s.compare("all handed over");
      }
      ASSERT_FALSE(HasFailure()) << "seed " << seed << ", life " << life;
    }
    resets += s.resets;
    settlements += s.settlements;
  }
  std::cout << "budget_reset: " << seeds << " seeds, " << settlements << " settlements, " << resets
            << " resets, " << 2 * seeds << " crashes; ledger and record agree after each\n";
  EXPECT_GT(resets, seeds);
}

}  // namespace
}  // namespace tidegate::gateway
