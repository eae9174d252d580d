#include "policy/quota.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using enum account_scope;
using enum account_unit;

foundation::wall_time day(int year, unsigned month, unsigned date) {
  return std::chrono::sys_days{std::chrono::year{year} / static_cast<int>(month) / static_cast<int>(date)};
}

demand on_session(std::string_view id, std::int64_t limit, std::int64_t amount) {
  return {.scope = session, .unit = tokens, .id = id, .limit = limit, .amount = amount};
}

std::expected<reservation, quota_refusal> reserve(ledger& books, std::vector<demand> demands) {
  return books.reserve(demands);
}

// T23, T24 (BUD-2)
TEST(quota, equality_passes_and_one_more_is_refused) {
  ledger books;
  ASSERT_TRUE(books.charge(session, tokens, "s", 199'800));
  const auto refused = reserve(books, {on_session("s", 200'000, 800)});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().scope, session);
  EXPECT_EQ(refused.error().limit, 200'000);
  EXPECT_EQ(refused.error().current_total, 199'800);
  EXPECT_EQ(refused.error().projected, 800);
  EXPECT_FALSE(refused.error().full);
  EXPECT_FALSE(reserve(books, {on_session("s", 200'000, 201)}));
  auto equal = reserve(books, {on_session("s", 200'000, 200)});
  ASSERT_TRUE(equal);
  EXPECT_FALSE(reserve(books, {on_session("s", 200'000, 1)})) << "what is reserved counts";
  books.release(*equal);
}

// T25
TEST(quota, a_full_session_leaves_others_alone) {
  ledger books;
  ASSERT_TRUE(books.charge(session, tokens, "full", 200'000));
  EXPECT_FALSE(reserve(books, {on_session("full", 200'000, 1)}));
  auto other = reserve(books, {on_session("other", 200'000, 1)});
  ASSERT_TRUE(other);
  books.release(*other);
}

// S2(a): 450,000 ASCII characters are 112,500 tokens, twice that passes 200,000.
TEST(quota, the_second_run_of_a_spent_session_is_refused) {
  ledger books;
  auto first = reserve(books, {on_session("s", 200'000, 112'500 + 1'024)});
  ASSERT_TRUE(first);
  books.settle(*first, 112'500 + 100, 0);
  EXPECT_FALSE(reserve(books, {on_session("s", 200'000, 112'500 + 1'024)}));
}

// BUD-1
TEST(quota, all_scopes_or_none) {
  ledger books;
  ASSERT_TRUE(books.charge(key, micro_usd, "k", 90));
  const std::vector<demand> demands{{session, tokens, "s", 1'000, 100},
                                    {project, tokens, "p", 1'000, 100},
                                    {key, tokens, "k", 1'000, 100},
                                    {key, micro_usd, "k", 100, 11}};
  const auto refused = books.reserve(demands);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().scope, key);
  EXPECT_EQ(refused.error().unit, micro_usd);
  EXPECT_EQ(books.of(session, tokens, "s").reserved, 0);
  EXPECT_EQ(books.of(project, tokens, "p").reserved, 0);
  EXPECT_EQ(books.accounts(), 1U) << "a refusal leaves no account behind";
  EXPECT_EQ(books.reservations(), 0U);
}

TEST(quota, the_same_account_named_twice_is_counted_twice) {
  ledger books;
  EXPECT_FALSE(reserve(books, {on_session("s", 100, 60), on_session("s", 100, 60)}));
  auto held = reserve(books, {on_session("s", 100, 50), on_session("s", 100, 50)});
  ASSERT_TRUE(held);
  EXPECT_EQ(books.of(session, tokens, "s").reserved, 100);
  books.release(*held);
}

// T140, T114 (BUD-5)
TEST(quota, settlement_charges_what_was_reported) {
  ledger books;
  auto held = reserve(books, {on_session("s", 200'000, 500), {key, micro_usd, "k", 0, 70}});
  ASSERT_TRUE(held);
  EXPECT_EQ(books.held_on(*held, tokens), 500);
  EXPECT_EQ(books.held_on(*held, micro_usd), 70);
  EXPECT_FALSE(books.settle(*held, 120, 33).overrun);
  EXPECT_TRUE(held->empty());
  EXPECT_EQ(books.of(session, tokens, "s").settled, 120);
  EXPECT_EQ(books.of(session, tokens, "s").reserved, 0);
  EXPECT_EQ(books.of(key, micro_usd, "k").settled, 33);
}

TEST(quota, usage_above_the_reservation_is_charged_in_full_and_told) {
  ledger books;
  auto held = reserve(books, {on_session("s", 500, 500)});
  ASSERT_TRUE(held);
  EXPECT_TRUE(books.settle(*held, 700, 0).overrun);
  EXPECT_EQ(books.of(session, tokens, "s").settled, 700);
  EXPECT_FALSE(reserve(books, {on_session("s", 500, 0)})) << "beyond the budget even nothing is refused";
}

// T113: the second of two that end a leg finds nothing to settle.
TEST(quota, a_reservation_ends_once) {
  ledger books;
  auto held = reserve(books, {on_session("s", 500, 100)});
  ASSERT_TRUE(held);
  books.settle(*held, 40, 0);
  books.settle(*held, 40, 0);
  books.release(*held);
  EXPECT_EQ(books.of(session, tokens, "s").settled, 40);
  EXPECT_EQ(books.reservations(), 0U);
}

TEST(quota, a_moved_reservation_is_held_in_one_place) {
  ledger books;
  auto held = reserve(books, {on_session("s", 500, 100)});
  ASSERT_TRUE(held);
  reservation moved = std::move(*held);
  EXPECT_TRUE(held->empty());
  EXPECT_FALSE(moved.empty());
  books.release(moved);
  EXPECT_EQ(books.accounts(), 0U);
}

TEST(quota, a_reservation_that_dies_unsettled_is_a_broken_invariant) {
  EXPECT_DEATH(
      {
        ledger books;
        auto held = reserve(books, {on_session("s", 500, 100)});
      },
      "empty");
}

TEST(quota, a_reload_holds_from_the_next_leg_on) {
  ledger books;
  auto held = reserve(books, {on_session("s", 1'000, 900)});
  ASSERT_TRUE(held);
  EXPECT_FALSE(reserve(books, {on_session("s", 500, 1)}));
  auto raised = reserve(books, {on_session("s", 2'000, 1'100)});
  ASSERT_TRUE(raised);
  books.release(*held);
  books.release(*raised);
}

TEST(quota, without_a_limit_amounts_are_counted_and_never_refused) {
  ledger books;
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  auto one = reserve(books, {on_session("s", 0, most)});
  auto two = reserve(books, {on_session("s", 0, most)});
  ASSERT_TRUE(one && two);
  books.settle(*one, most, 0);
  books.settle(*two, most, 0);
  EXPECT_EQ(books.of(session, tokens, "s").settled, most) << "sums saturate";
  EXPECT_EQ(books.of(session, tokens, "s").reserved, 0);
}

TEST(quota, sums_never_wrap_below_a_limit) {
  ledger books;
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  ASSERT_TRUE(books.charge(session, tokens, "s", most - 1));
  EXPECT_FALSE(reserve(books, {on_session("s", most - 1, most)}));
  EXPECT_FALSE(reserve(books, {on_session("s", 10, most)}));
  auto negative = reserve(books, {on_session("t", 10, -5)});
  ASSERT_TRUE(negative);
  EXPECT_EQ(books.of(session, tokens, "t").reserved, 0);
  books.settle(*negative, -7, -7);
  EXPECT_EQ(books.of(session, tokens, "t").settled, 0);
}

TEST(quota, the_table_is_bounded_and_blank_accounts_take_no_place) {
  ledger books{{.accounts_max = 2, .hash_seed = 7}};
  auto one = reserve(books, {on_session("1", 10, 1)});
  auto two = reserve(books, {on_session("2", 10, 1)});
  ASSERT_TRUE(one && two);
  const auto full = reserve(books, {on_session("3", 10, 1)});
  ASSERT_FALSE(full);
  EXPECT_TRUE(full.error().full);
  EXPECT_EQ(full.error().limit, 2);
  EXPECT_FALSE(books.charge(session, tokens, "3", 1));
  EXPECT_FALSE(books.restore(session, tokens, "3", 1));
  EXPECT_TRUE(reserve(books, {}));
  books.release(*one);
  books.settle(*two, 5, 0);
  auto three = reserve(books, {on_session("3", 10, 1)});
  ASSERT_TRUE(three) << "an account that stands at zero is not kept";
  books.release(*three);
  EXPECT_EQ(books.accounts(), 1U);
}

// BUD-8, T148
TEST(quota, a_reset_tells_the_previous_total_and_leaves_reservations) {
  ledger books;
  ASSERT_TRUE(books.charge(session, tokens, "s", 200'000));
  auto held = reserve(books, {on_session("s", 0, 300)});
  ASSERT_TRUE(held);
  EXPECT_EQ(books.reset(session, tokens, "s"), 200'000);
  EXPECT_EQ(books.of(session, tokens, "s").settled, 0);
  EXPECT_EQ(books.of(session, tokens, "s").reserved, 300);
  books.settle(*held, 200, 0);
  EXPECT_EQ(books.of(session, tokens, "s").settled, 200);
  EXPECT_EQ(books.reset(session, tokens, "unknown"), 0);
}

// NFR-2
TEST(quota, snapshots_carry_every_account) {
  ledger books;
  ASSERT_TRUE(books.charge(session, tokens, "s", 10));
  ASSERT_TRUE(books.charge(key, micro_usd, "k", 20));
  ASSERT_TRUE(books.charge(key, tokens, "k", 30));
  ledger copy;
  books.each([&](account_scope scope, account_unit unit, std::string_view id, balance standing) {
    EXPECT_TRUE(copy.restore(scope, unit, id, standing.settled));
  });
  EXPECT_EQ(copy.accounts(), 3U);
  EXPECT_EQ(copy.of(session, tokens, "s").settled, 10);
  EXPECT_EQ(copy.of(key, micro_usd, "k").settled, 20);
  EXPECT_EQ(copy.of(key, tokens, "k").settled, 30);
  EXPECT_TRUE(copy.restore(key, tokens, "k", 0));
  EXPECT_EQ(copy.accounts(), 2U);
}

TEST(quota, a_reservation_tells_what_it_holds) {
  ledger books;
  auto held = reserve(books, {on_session("s", 0, 5), {project, tokens, "p", 0, 5}});
  ASSERT_TRUE(held);
  const auto holds = books.holds_of(*held);
  ASSERT_EQ(holds.size(), 2U);
  EXPECT_EQ(holds[0].scope, session);
  EXPECT_EQ(holds[0].id, "s");
  EXPECT_EQ(holds[1].scope, project);
  EXPECT_EQ(holds[1].amount, 5);
  books.release(*held);
}

TEST(quota, periods_are_utc_days_and_months) {
  const auto late = day(2026, 11, 23) + 23h + 59min + 59s + 999ms;
  EXPECT_EQ(period_suffix(budget_period::none, late), "");
  EXPECT_EQ(period_suffix(budget_period::day, late), "@2026-11-23");
  EXPECT_EQ(period_suffix(budget_period::month, late), "@2026-11");
  EXPECT_EQ(period_suffix(budget_period::day, late + 1ms), "@2026-11-24");
  EXPECT_EQ(period_suffix(budget_period::month, day(2027, 1, 1) - 1ms), "@2026-12");
}

TEST(quota, ended_periods_of_keys_are_dropped_and_nothing_else) {
  ledger books;
  for (const auto* id :
       {"k", "k@2026-11-22", "k@2026-11-23", "k@2026-10", "k@2026-11", "k@x", "held@2026-11-01"}) {
    ASSERT_TRUE(books.charge(key, tokens, id, 1));
  }
  ASSERT_TRUE(books.charge(session, tokens, "s@2020-01-01", 1));
  auto held = books.reserve(std::vector<demand>{{key, tokens, "held@2026-11-01", 0, 1}});
  ASSERT_TRUE(held);
  EXPECT_EQ(books.drop_stale(day(2026, 11, 23), {}, 100).size(), 2U);
  EXPECT_EQ(books.of(key, tokens, "k@2026-11-22").settled, 0);
  EXPECT_EQ(books.of(key, tokens, "k@2026-10").settled, 0);
  for (const auto* id : {"k", "k@2026-11-23", "k@2026-11", "k@x", "held@2026-11-01"}) {
    EXPECT_EQ(books.of(key, tokens, id).settled, 1) << id;
  }
  EXPECT_EQ(books.of(session, tokens, "s@2020-01-01").settled, 1);
  books.settle(*held, 1, 0);
  EXPECT_EQ(books.drop_stale(day(2026, 11, 23), {}, 100).size(), 1U);
}

TEST(quota, a_session_that_nobody_used_for_its_idle_age_leaves_and_makes_room) {
  ledger books{{.accounts_max = 3}};
  const stale_rule rule{.session_idle = 720h, .project_idle = std::nullopt};
  books.tell_time(day(2026, 11, 1));
  for (const auto* id : {"old", "held", "used"}) ASSERT_TRUE(books.charge(session, tokens, id, 7));
  auto held = books.reserve(std::vector<demand>{{session, tokens, "held", 0, 1}});
  ASSERT_TRUE(held);
  ASSERT_TRUE(books.reserve(std::vector<demand>{{session, tokens, "new", 0, 1}}).error().full);

  books.tell_time(day(2026, 11, 20));
  ASSERT_TRUE(books.charge(session, tokens, "used", 1));
  EXPECT_TRUE(books.drop_stale(day(2026, 12, 1), rule, 100).empty()) << "thirty days, and not an hour more";
  const auto dropped = books.drop_stale(day(2026, 12, 1) + 1h, rule, 100);
  ASSERT_EQ(dropped.size(), 1U);
  EXPECT_EQ(dropped.front().id, "old");
  EXPECT_EQ(dropped.front().settled, 7);
  auto fits = books.reserve(std::vector<demand>{{session, tokens, "new", 0, 1}});
  ASSERT_TRUE(fits);
  books.release(*fits);
  books.settle(*held, 1, 0);
  EXPECT_TRUE(books.drop_stale(day(2026, 12, 2), rule, 100).empty()) << "a settlement is a use";
  EXPECT_EQ(books.drop_stale(day(2027, 2, 2), rule, 100).size(), 2U);
  EXPECT_EQ(books.accounts(), 0U);
}

TEST(quota, projects_keys_and_guards_stay_unless_their_own_rule_says_otherwise) {
  ledger books;
  books.tell_time(day(2020, 1, 1));
  ASSERT_TRUE(books.charge(project, tokens, "p", 1));
  ASSERT_TRUE(books.charge(key, tokens, "k", 1));
  ASSERT_TRUE(books.charge(guard, micro_usd, "k", 1));
  EXPECT_TRUE(books.drop_stale(day(2026, 1, 1), {.session_idle = 1h, .project_idle = {}}, 100).empty());
  EXPECT_EQ(books.drop_stale(day(2026, 1, 1), {.session_idle = 1h, .project_idle = 1h}, 100).size(), 1U);
  EXPECT_EQ(books.of(guard, micro_usd, "k").settled, 1);
}

TEST(quota, a_part_of_the_accounts_is_looked_at_a_call_and_all_of_them_in_turn) {
  ledger books;
  books.tell_time(day(2026, 1, 1));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(books.charge(session, tokens, "s" + std::to_string(i), 1));
  std::size_t dropped = 0;
  for (int call = 0; call < 10; ++call) {
    const auto some = books.drop_stale(day(2026, 3, 1), {.session_idle = 1h, .project_idle = {}}, 10);
    EXPECT_LE(some.size(), 10U);
    dropped += some.size();
  }
  EXPECT_EQ(dropped, 100U);
}

// COST-2: the ledger counts what a guard's runs cost; a full table does not stop that.
TEST(quota, a_guard_is_counted_in_micro_dollars_and_never_refused) {
  ledger books{{.accounts_max = 1}};
  ASSERT_TRUE(books.charge(session, tokens, "s", 1));
  auto held = books.reserve(std::vector<demand>{{guard, micro_usd, "k", 0, 5'000'000}});
  ASSERT_TRUE(held);
  books.settle(*held, 900, 7'000'000);
  EXPECT_EQ(books.of(guard, micro_usd, "k").settled, 7'000'000);
  EXPECT_EQ(books.of(key, micro_usd, "k").settled, 0) << "another account than the key's budget";
  EXPECT_EQ(books.reset(guard, micro_usd, "k"), 7'000'000);
}

}  // namespace
}  // namespace tidegate::policy
