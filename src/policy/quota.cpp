#include "policy/quota.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "foundation/check.h"

namespace tidegate::policy {

using foundation::wall_time;

namespace {

constexpr std::int64_t amount_max = std::numeric_limits<std::int64_t>::max();

// Of non-negative amounts.
std::int64_t sum(std::int64_t a, std::int64_t b) { return a > amount_max - b ? amount_max : a + b; }

std::int64_t not_negative(std::int64_t amount) { return std::max<std::int64_t>(amount, 0); }

bool fits(const balance& standing, std::int64_t amount, std::int64_t limit) {
  return limit == 0 || sum(sum(standing.settled, standing.reserved), amount) <= limit;
}

std::uint32_t hour_of(wall_time t) {
  const auto hours = std::chrono::floor<std::chrono::hours>(t.time_since_epoch()).count();
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(hours, 0, std::numeric_limits<std::uint32_t>::max()));
}

bool of_callers(account_scope scope) {
  return scope == account_scope::session || scope == account_scope::project;
}

bool is_date(std::string_view text, std::string_view shape) {
  return text.size() == shape.size() && std::ranges::equal(text, shape, [](char c, char want) {
           return want == '0' ? c >= '0' && c <= '9' : c == want;
         });
}

// The "2026-11-23" or "2026-11" that an id ends with; empty when it bears no period.
std::string_view period_of(std::string_view id) {
  const auto at = id.rfind('@');
  if (at == std::string_view::npos) return {};
  const auto period = id.substr(at + 1);
  return is_date(period, "0000-00-00") || is_date(period, "0000-00") ? period : std::string_view{};
}

void append_padded(std::string& out, unsigned value, std::size_t digits) {
  const std::string text = std::to_string(value);
  out.append(digits - std::min(digits, text.size()), '0').append(text);
}

}  // namespace

std::string_view name_of(account_scope scope) {
  switch (scope) {
    case account_scope::session:
      return "session";
    case account_scope::project:
      return "project";
    case account_scope::key:
      return "key";
    case account_scope::guard:
      break;
  }
  return "guard";
}

reservation::reservation(reservation&& other) noexcept { *this = std::move(other); }

reservation& reservation::operator=(reservation&& other) noexcept {
  if (this == &other) return *this;
  TG_CHECK(empty());
  count_ = std::exchange(other.count_, 0);
  std::copy_n(other.holds_.begin(), count_, holds_.begin());
  return *this;
}

reservation::~reservation() { TG_CHECK(empty()); }

ledger::ledger(ledger_settings settings) : settings_{settings} {
  TG_CHECK(settings.accounts_max < std::numeric_limits<index>::max());
  for (names& each_book : books_) each_book = names{0, keyed_hash{settings.hash_seed}};
}

ledger::names& ledger::book(account_scope scope, account_unit unit) {
  return books_[static_cast<std::size_t>(scope) * 2 + static_cast<std::size_t>(unit)];
}

const ledger::names& ledger::book(account_scope scope, account_unit unit) const {
  return books_[static_cast<std::size_t>(scope) * 2 + static_cast<std::size_t>(unit)];
}

const ledger::account* ledger::look_up(account_scope scope, account_unit unit, std::string_view id) const {
  const names& where = book(scope, unit);
  const auto found = where.find(id);
  return found == where.end() ? nullptr : &accounts_[found->second];
}

ledger::index ledger::index_of(const account& which) const {
  return static_cast<index>(&which - accounts_.data());
}

ledger::account* ledger::open(account_scope scope, account_unit unit, std::string_view id) {
  names& where = book(scope, unit);
  if (const auto found = where.find(id); found != where.end()) {
    accounts_[found->second].hour = hour_;
    return &accounts_[found->second];
  }
  if (of_callers(scope) && accounts() >= settings_.accounts_max) return nullptr;
  if (free_.empty()) {
    free_.push_back(static_cast<index>(accounts_.size()));
    accounts_.emplace_back();
  }
  const index at = free_.back();
  const auto entry = where.emplace(id, at).first;
  free_.pop_back();
  accounts_[at] = {
      .id = &entry->first, .standing = {}, .holders = 0, .scope = scope, .unit = unit, .hour = hour_};
  return &accounts_[at];
}

void ledger::close_if_blank(account& which) {
  if (which.holders == 0 && which.standing.settled == 0) close(which);
}

void ledger::close(account& which) {
  TG_CHECK(which.holders == 0 && which.standing.reserved == 0);
  const index at = index_of(which);
  free_.push_back(at);
  names& where = book(which.scope, which.unit);
  where.erase(where.find(*which.id));
  which = {};
}

std::expected<reservation, quota_refusal> ledger::reserve(std::span<const demand> demands) {
  TG_CHECK(demands.size() <= demands_max);
  reservation held;
  ++open_reservations_;
  for (const demand& wanted : demands) {
    const std::int64_t amount = not_negative(wanted.amount);
    account* const which = open(wanted.scope, wanted.unit, wanted.id);
    if (which == nullptr || !fits(which->standing, amount, not_negative(wanted.limit))) {
      quota_refusal refusal{
          .scope = wanted.scope, .unit = wanted.unit, .projected = amount, .full = which == nullptr};
      refusal.limit = which != nullptr ? wanted.limit : static_cast<std::int64_t>(settings_.accounts_max);
      if (which != nullptr) {
        refusal.current_total = sum(which->standing.settled, which->standing.reserved);
        close_if_blank(*which);
      }
      drop_holds(held);
      return std::unexpected{refusal};
    }
    // Without a limit the sum of amounts may pass what an integer holds: then what fits is held.
    const std::int64_t taken = std::min(amount, amount_max - which->standing.reserved);
    which->standing.reserved += taken;
    ++which->holders;
    held.holds_[held.count_++] = {.amount = taken, .account = index_of(*which)};
  }
  if (held.empty()) --open_reservations_;  // no demands, nothing to settle
  return held;
}

void ledger::drop_holds(reservation& held) {
  for (std::size_t i = 0; i < held.count_; ++i) {
    account& which = accounts_[held.holds_[i].account];
    TG_CHECK(which.holders > 0 && which.standing.reserved >= held.holds_[i].amount);
    which.standing.reserved -= held.holds_[i].amount;
    --which.holders;
    close_if_blank(which);
  }
  held.count_ = 0;
  --open_reservations_;
}

ledger::settled ledger::settle(reservation& held, std::int64_t tokens, std::int64_t micro_usd) {
  settled result;
  if (held.empty()) return result;
  for (std::size_t i = 0; i < held.count_; ++i) {
    account& which = accounts_[held.holds_[i].account];
    const std::int64_t actual = not_negative(which.unit == account_unit::tokens ? tokens : micro_usd);
    result.overrun = result.overrun || actual > held.holds_[i].amount;
    which.standing.settled = sum(which.standing.settled, actual);
    which.hour = hour_;
  }
  drop_holds(held);
  return result;
}

void ledger::release(reservation& held) {
  if (!held.empty()) drop_holds(held);
}

std::vector<held_amount> ledger::holds_of(const reservation& held) const {
  std::vector<held_amount> all;
  all.reserve(held.count_);
  for (std::size_t i = 0; i < held.count_; ++i) {
    const account& which = accounts_[held.holds_[i].account];
    all.push_back({which.scope, which.unit, *which.id, held.holds_[i].amount});
  }
  return all;
}

std::int64_t ledger::held_on(const reservation& held, account_unit unit) const {
  std::int64_t most = 0;
  for (std::size_t i = 0; i < held.count_; ++i) {
    if (accounts_[held.holds_[i].account].unit == unit) most = std::max(most, held.holds_[i].amount);
  }
  return most;
}

balance ledger::of(account_scope scope, account_unit unit, std::string_view id) const {
  const account* const which = look_up(scope, unit, id);
  return which != nullptr ? which->standing : balance{};
}

std::int64_t ledger::reset(account_scope scope, account_unit unit, std::string_view id) {
  names& where = book(scope, unit);
  const auto found = where.find(id);
  if (found == where.end()) return 0;
  account& which = accounts_[found->second];
  const std::int64_t previous = std::exchange(which.standing.settled, 0);
  close_if_blank(which);
  return previous;
}

bool ledger::charge(account_scope scope, account_unit unit, std::string_view id, std::int64_t amount) {
  if (amount <= 0) return true;
  account* const which = open(scope, unit, id);
  if (which == nullptr) return false;
  which->standing.settled = sum(which->standing.settled, amount);
  return true;
}

bool ledger::restore(account_scope scope, account_unit unit, std::string_view id, std::int64_t settled_total,
                     wall_time used) {
  account* const which = open(scope, unit, id);
  if (which == nullptr) return settled_total <= 0;
  which->standing.settled = not_negative(settled_total);
  if (used != wall_time{}) which->hour = hour_of(used);
  close_if_blank(*which);
  return true;
}

void ledger::each(
    const std::function<void(account_scope, account_unit, std::string_view, balance)>& visit) const {
  for (const account& which : accounts_) {
    if (which.id != nullptr) visit(which.scope, which.unit, *which.id, which.standing);
  }
}

void ledger::tell_time(wall_time now) { hour_ = std::max(hour_, hour_of(now)); }

bool ledger::is_stale(const account& which, const stale_rule& rule, std::string_view today) const {
  if (which.id == nullptr || which.holders != 0) return false;
  if (which.scope == account_scope::key) {
    const auto period = period_of(*which.id);
    // Of equal length both are compared as dates: a month with this month, a day with today.
    return !period.empty() && period < today.substr(0, period.size());
  }
  if (!of_callers(which.scope)) return false;
  const auto& idle = which.scope == account_scope::session ? rule.session_idle : rule.project_idle;
  return idle && std::chrono::hours{hour_ - std::min(hour_, which.hour)} > *idle;
}

std::vector<dropped_account> ledger::drop_stale(wall_time now, const stale_rule& rule, std::size_t scan_max) {
  tell_time(now);
  const std::string today = period_suffix(budget_period::day, now).substr(1);
  std::vector<dropped_account> dropped;
  for (std::size_t left = std::min(scan_max, accounts_.size()); left > 0; --left) {
    if (scan_from_ >= accounts_.size()) scan_from_ = 0;
    account& which = accounts_[scan_from_++];
    if (!is_stale(which, rule, today)) continue;
    dropped.push_back({which.scope, which.unit, *which.id, which.standing.settled});
    close(which);
  }
  return dropped;
}

std::string period_suffix(budget_period period, wall_time now) {
  if (period == budget_period::none) return {};
  const std::chrono::year_month_day date{std::chrono::floor<std::chrono::days>(now)};
  std::string text = "@";
  append_padded(text, static_cast<unsigned>(std::max(0, static_cast<int>(date.year()))), 4);
  text += '-';
  append_padded(text, static_cast<unsigned>(date.month()), 2);
  if (period == budget_period::day) {
    text += '-';
    append_padded(text, static_cast<unsigned>(date.day()), 2);
  }
  return text;
}

}  // namespace tidegate::policy
