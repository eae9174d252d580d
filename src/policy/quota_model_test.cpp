// The ledger under races (T112) and against a plain reference with crashes (BUD-5, BUD-6, T115, T116).
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "foundation/random.h"
#include "policy/quota.h"

namespace tidegate::policy {
namespace {

using enum account_scope;
using enum account_unit;
using foundation::random_source;

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr std::size_t slow_down = 10;
#else
constexpr std::size_t slow_down = 1;
#endif

constexpr std::size_t callers = 4;
constexpr std::size_t reserves = 10'000;
constexpr std::size_t room = 100;

// One tight account among wider ones; which scope is tight, and how much a leg wants, is the seed's choice.
struct race {
  std::mutex lock;  // the gateway's in real life
  ledger books;
  std::int64_t amount;
  std::size_t tight;

  explicit race(std::uint64_t seed) {
    random_source random{seed};
    books = ledger{{.accounts_max = 1'000, .hash_seed = seed}};
    amount = 1 + static_cast<std::int64_t>(random.below(5'000));
    tight = random.below(4);
  }

  std::int64_t limit_of(std::size_t which) const {
    const auto full = amount * static_cast<std::int64_t>(room);
    if (which == tight) return full + amount - 1;  // not a whole leg more
    return which == 3 ? 0 : full * 200;
  }

  std::array<demand, 4> demands_of(std::string_view other) const {
    // The accounts that are not tight differ between callers, so that all scopes mix.
    const auto id = [&](std::size_t which) { return which == tight ? std::string_view{"all"} : other; };
    return {demand{session, tokens, id(0), limit_of(0), amount},
            demand{project, tokens, id(1), limit_of(1), amount},
            demand{key, tokens, id(2), limit_of(2), amount},
            demand{key, micro_usd, id(3), limit_of(3), amount}};
  }
};

std::vector<reservation> run_race(race& world) {
  std::vector<reservation> granted;
  const auto call = [&world, &granted](std::size_t caller) {
    const std::string other = "other-" + std::to_string(caller);
    for (std::size_t i = 0; i < reserves / callers; ++i) {
      const auto demands = world.demands_of(other);
      const std::lock_guard guard{world.lock};
      if (auto held = world.books.reserve(demands)) granted.push_back(std::move(*held));
    }
  };
  std::vector<std::jthread> threads;
  for (std::size_t caller = 0; caller < callers; ++caller) threads.emplace_back(call, caller);
  threads.clear();
  return granted;
}

// T112
TEST(quota_race, T112_room_for_a_hundred_grants_exactly_a_hundred_of_ten_thousand) {
  const std::size_t seeds = 1'000 / slow_down;
  std::int64_t overshoot = 0;
  std::size_t exact = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    race world{seed};
    auto granted = run_race(world);
    exact += granted.size() == room;
    constexpr std::array<std::pair<account_scope, account_unit>, 4> where{
        {{session, tokens}, {project, tokens}, {key, tokens}, {key, micro_usd}}};
    const balance full = world.books.of(where[world.tight].first, where[world.tight].second, "all");
    overshoot += std::max<std::int64_t>(0, full.reserved - world.limit_of(world.tight));
    ASSERT_EQ(full.reserved, world.amount * static_cast<std::int64_t>(room)) << "seed " << seed;
    for (reservation& held : granted) world.books.release(held);
    ASSERT_EQ(world.books.accounts(), 0U) << "seed " << seed;
    ASSERT_EQ(world.books.reservations(), 0U);
  }
  std::cout << "quota_race: " << exact << "/" << seeds << " seeds granted exactly " << room << ", overshoot "
            << overshoot << "\n";
  EXPECT_EQ(exact, seeds);
  EXPECT_EQ(overshoot, 0);
}

// What a journal would hold; enough to rebuild a ledger by BUD-6.
struct record {
  enum class kind : std::uint8_t { opening, reserved, dispatched, settled, released, reset };
  kind what;
  std::uint64_t leg = 0;
  account_scope scope{};
  account_unit unit{};
  std::string id;
  std::int64_t amount = 0;       // reserved on the account; the settled total of an opening
  std::int64_t tokens_used = 0;  // settled
  std::int64_t usd_used = 0;
};

struct live_leg {
  std::uint64_t id = 0;
  reservation held;
  std::int64_t want_tokens = 0;
  std::int64_t want_usd = 0;
  std::vector<std::size_t> accounts;  // positions in the plain reference
  bool dispatched = false;
};

struct plain_account {
  account_scope scope;
  account_unit unit;
  std::string id;
  std::int64_t limit;
  std::int64_t settled = 0;
  std::int64_t reserved = 0;
};

// A ledger, its journal and the plainest bookkeeping there is, taken through the same random life.
class model {
 public:
  explicit model(std::uint64_t seed) : random_{seed} {
    for (std::size_t i = 0; i < 6; ++i) add(session, tokens, "s", i, 60'000);
    for (std::size_t i = 0; i < 3; ++i) add(project, tokens, "p", i, 90'000);
    for (std::size_t i = 0; i < 2; ++i) add(key, tokens, "k", i, 250'000);
    for (std::size_t i = 0; i < 2; ++i) add(key, micro_usd, "k", i, 40'000);
  }

  ~model() {
    for (live_leg& leg : legs_) books_.release(leg.held);
  }
  model(const model&) = delete;
  model& operator=(const model&) = delete;

  void step() {
    const std::uint64_t roll = random_.below(10'000);
    if (roll < 4'500) {
      admit();
    } else if (roll < 6'000) {
      dispatch();
    } else if (roll < 9'900) {
      finish();
    } else if (roll < 9'995) {
      reset();
    } else {
      crash();
    }
  }

  // settled + reserved + free = limit on one account, where `free` is what the ledger itself lets pass.
  void check(std::size_t which) {
    const plain_account& want = accounts_[which];
    const balance got = books_.of(want.scope, want.unit, want.id);
    ASSERT_EQ(got.settled, want.settled);
    ASSERT_EQ(got.reserved, want.reserved);
    const std::int64_t free = want.limit - want.settled - want.reserved;
    demand probe{want.scope, want.unit, want.id, want.limit, free + 1};
    ASSERT_FALSE(books_.reserve({&probe, 1}));
    if (free < 0) return;  // overrun: beyond the limit, so nothing passes
    probe.amount = free;
    auto fits = books_.reserve({&probe, 1});
    ASSERT_TRUE(fits);
    books_.release(*fits);
    ASSERT_EQ(books_.reservations(), legs_.size()) << "a reservation outlived its run";
  }

  std::size_t accounts() const { return accounts_.size(); }
  std::size_t pick(std::size_t bound) { return random_.below(bound); }

  std::size_t granted = 0, refused = 0, overruns = 0, aborted = 0, crashes = 0, settled_by_crash = 0,
              released_by_crash = 0;

 private:
  void add(account_scope scope, account_unit unit, const char* prefix, std::size_t i, std::int64_t limit) {
    accounts_.push_back({scope, unit, prefix + std::to_string(i), limit, 0, 0});
  }

  std::int64_t wants(const live_leg& leg, const plain_account& account) const {
    return account.unit == tokens ? leg.want_tokens : leg.want_usd;
  }

  void admit() {
    live_leg leg;
    leg.id = ++last_leg_;
    leg.want_tokens = static_cast<std::int64_t>(1 + random_.below(4'000));
    leg.want_usd = static_cast<std::int64_t>(random_.below(900));
    const std::size_t k = pick(2);
    leg.accounts = {pick(6), 6 + pick(3), 9 + k, 11 + k};
    if (random_.below(4) == 0) leg.accounts.erase(leg.accounts.begin() + 1);  // no project
    std::vector<demand> demands;
    bool fits = true;
    for (const std::size_t which : leg.accounts) {
      const plain_account& a = accounts_[which];
      demands.push_back({a.scope, a.unit, a.id, a.limit, wants(leg, a)});
      fits = fits && a.settled + a.reserved + wants(leg, a) <= a.limit;
    }
    auto held = books_.reserve(demands);
    ASSERT_EQ(held.has_value(), fits);
    ++(fits ? granted : refused);
    if (!fits) return;
    leg.held = std::move(*held);
    for (const auto& [scope, unit, id, amount] : books_.holds_of(leg.held)) {
      journal_.push_back({record::kind::reserved, leg.id, scope, unit, std::string{id}, amount});
    }
    for (const std::size_t which : leg.accounts) accounts_[which].reserved += wants(leg, accounts_[which]);
    legs_.push_back(std::move(leg));
  }

  void dispatch() {
    if (legs_.empty()) return;
    live_leg& leg = legs_[pick(legs_.size())];
    if (std::exchange(leg.dispatched, true)) return;
    journal_.push_back({.what = record::kind::dispatched, .leg = leg.id, .id = {}});
  }

  // Not sent: released. Answered by an HTTP error: released. Whole: as reported, rarely above the
  // reservation. Aborted, timed out or cut after dispatch: what came, never zero, never above the
  // reservation.
  void finish() {
    if (legs_.empty()) return;
    const std::size_t at = pick(legs_.size());
    live_leg& leg = legs_[at];
    const std::uint64_t way = random_.below(10);
    if (!leg.dispatched || way == 0) {
      release(leg);
    } else if (way < 4) {
      ++aborted;
      settle(leg, 1 + static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(leg.want_tokens))),
             static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(leg.want_usd) + 1)));
    } else {
      const std::int64_t beyond = way == 9 ? 50 : 0;
      settle(
          leg,
          static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(leg.want_tokens + beyond) + 1)),
          static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(leg.want_usd + beyond) + 1)));
    }
    std::swap(legs_[at], legs_.back());
    legs_.pop_back();
  }

  void release(live_leg& leg) {
    books_.release(leg.held);
    journal_.push_back({.what = record::kind::released, .leg = leg.id, .id = {}});
    for (const std::size_t which : leg.accounts) accounts_[which].reserved -= wants(leg, accounts_[which]);
  }

  void settle(live_leg& leg, std::int64_t used_tokens, std::int64_t used_usd) {
    const bool beyond = used_tokens > leg.want_tokens || used_usd > leg.want_usd;
    ASSERT_EQ(books_.settle(leg.held, used_tokens, used_usd).overrun, beyond);
    overruns += beyond;
    journal_.push_back({.what = record::kind::settled,
                        .leg = leg.id,
                        .id = {},
                        .tokens_used = used_tokens,
                        .usd_used = used_usd});
    charge_plain(leg, used_tokens, used_usd);
  }

  void charge_plain(const live_leg& leg, std::int64_t used_tokens, std::int64_t used_usd) {
    for (const std::size_t which : leg.accounts) {
      plain_account& a = accounts_[which];
      a.reserved -= wants(leg, a);
      a.settled += a.unit == tokens ? used_tokens : used_usd;
    }
  }

  void reset() {
    plain_account& a = accounts_[pick(accounts_.size())];
    ASSERT_EQ(books_.reset(a.scope, a.unit, a.id), std::exchange(a.settled, 0));
    journal_.push_back({.what = record::kind::reset, .scope = a.scope, .unit = a.unit, .id = a.id});
  }

  // kill -9: memory is gone, the journal is read. Legs that were dispatched settle in full, the others cost
  // nothing.
  void crash() {
    ++crashes;
    for (live_leg& leg : legs_) {
      books_.release(leg.held);  // only this process's handles; the journal does not see it
      if (leg.dispatched) {
        ++settled_by_crash;
        charge_plain(leg, leg.want_tokens, leg.want_usd);
      } else {
        ++released_by_crash;
        charge_plain(leg, 0, 0);
      }
    }
    legs_.clear();
    books_ = rebuilt();
    // A second start right behind the first changes nothing (T116).
    compact();
    books_ = rebuilt();
  }

  ledger rebuilt() const {
    ledger fresh{{.accounts_max = 100, .hash_seed = crashes}};
    std::map<std::uint64_t, std::pair<bool, std::vector<const record*>>> open;
    for (const record& r : journal_) {
      switch (r.what) {
        case record::kind::opening:
          fresh.restore(r.scope, r.unit, r.id, r.amount);
          break;
        case record::kind::reserved:
          open[r.leg].second.push_back(&r);
          break;
        case record::kind::dispatched:
          open[r.leg].first = true;
          break;
        case record::kind::released:
          open.erase(r.leg);
          break;
        case record::kind::reset:
          fresh.reset(r.scope, r.unit, r.id);
          break;
        case record::kind::settled:
          for (const record* hold : open[r.leg].second) {
            fresh.charge(hold->scope, hold->unit, hold->id,
                         hold->unit == tokens ? r.tokens_used : r.usd_used);
          }
          open.erase(r.leg);
          break;
      }
    }
    for (const auto& [leg, state] : open) {
      if (!state.first) continue;
      for (const record* hold : state.second) fresh.charge(hold->scope, hold->unit, hold->id, hold->amount);
    }
    return fresh;
  }

  // A snapshot takes the place of the records before it.
  void compact() {
    journal_.clear();
    books_.each([&](account_scope scope, account_unit unit, std::string_view id, balance standing) {
      journal_.push_back({record::kind::opening, 0, scope, unit, std::string{id}, standing.settled});
    });
  }

  random_source random_;
  ledger books_;
  std::vector<plain_account> accounts_;
  std::vector<live_leg> legs_;
  std::vector<record> journal_;
  std::uint64_t last_leg_ = 0;
};

TEST(quota_model, a_million_operations_with_crashes_agree_with_a_plain_reference) {
  const std::size_t steps = 1'000'000 / slow_down;
  model world{20'261'123};
  for (std::size_t i = 0; i < steps; ++i) {
    world.step();
    world.check(world.pick(world.accounts()));
    if (i % 1'000 == 0) {
      for (std::size_t which = 0; which < world.accounts(); ++which) world.check(which);
    }
    ASSERT_FALSE(testing::Test::HasFatalFailure()) << "step " << i;
  }
  std::cout << "quota_model: " << steps << " operations: " << world.granted << " granted, " << world.refused
            << " refused, " << world.aborted << " aborted, " << world.overruns << " overruns, "
            << world.crashes << " crashes (" << world.settled_by_crash << " legs settled in full, "
            << world.released_by_crash << " released); settled + reserved + free = limit at every step\n";
  EXPECT_GT(world.crashes, 0U);
  EXPECT_GT(world.overruns, 0U);
  EXPECT_GT(world.refused, 0U);
}

}  // namespace
}  // namespace tidegate::policy
