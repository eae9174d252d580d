#include <algorithm>

#include "storage/sqlite/tables.h"

namespace tidegate::storage::sqlite {
namespace {

std::int64_t day_of(wall_time at) {
  return std::chrono::floor<std::chrono::days>(at).time_since_epoch().count();
}

wall_time start_of_day(std::int64_t day) { return wall_time{std::chrono::sys_days{std::chrono::days{day}}}; }

result<bool> is_first_of_request(connection& db, const usage_call& call) {
  query q{db, "SELECT 1 FROM usage_request WHERE key_id = ? AND request_id = ?"};
  auto row = q.bind(call.key_id).bind(call.request_id).next();
  if (!row) return pass_on(row);
  return !*row;
}

// False: it is known.
result<bool> insert_call(connection& db, const usage_call& call, bool first) {
  query q{
      db,
      "INSERT INTO usage_call (id, key_id, request_id, first_of_request, session_id, model, skill_id, "
      "input_tokens, output_tokens, cached_tokens, cache_hit, duration_ms, micro_usd, warning, created_at) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"};
  q.bind(call.id).bind(call.key_id).bind(call.request_id).bind(std::int64_t{first ? 1 : 0});
  q.bind(call.session_id).bind(call.model).bind(call.skill_id);
  q.bind(call.input_tokens).bind(call.output_tokens).bind(call.cached_tokens);
  q.bind(std::int64_t{call.cache_hit ? 1 : 0}).bind(call.duration_ms).bind(call.micro_usd);
  if (auto ran = q.bind(call.warning).bind(call.created_at).run(); !ran) return pass_on(ran);
  return db.changes() > 0;
}

result<void> add_to_request(connection& db, const usage_call& call) {
  query q{db,
          "INSERT INTO usage_request (key_id, request_id, model, skill_id, input_tokens, output_tokens, "
          "cached_tokens, micro_usd, warning, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
          "ON CONFLICT (key_id, request_id) DO UPDATE SET model = CASE WHEN excluded.input_tokens + "
          "excluded.output_tokens > 0 THEN excluded.model ELSE model END, "
          "input_tokens = input_tokens + excluded.input_tokens, "
          "output_tokens = output_tokens + excluded.output_tokens, "
          "cached_tokens = cached_tokens + excluded.cached_tokens, "
          "micro_usd = micro_usd + excluded.micro_usd, warning = coalesce(excluded.warning, warning)"};
  q.bind(call.key_id).bind(call.request_id).bind(call.model).bind(call.skill_id);
  q.bind(call.input_tokens).bind(call.output_tokens).bind(call.cached_tokens).bind(call.micro_usd);
  return q.bind(call.warning).bind(call.created_at).run();
}

result<void> add_to_totals(connection& db, const usage_call& call, bool first) {
  {
    query q{db,
            "INSERT INTO usage_total (key_id, model, skill_id, day, micro_usd, requests, input_tokens, "
            "output_tokens, cached_tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key_id, model, "
            "skill_id, day) DO UPDATE SET micro_usd = micro_usd + excluded.micro_usd, "
            "requests = requests + excluded.requests, input_tokens = input_tokens + excluded.input_tokens, "
            "output_tokens = output_tokens + excluded.output_tokens, "
            "cached_tokens = cached_tokens + excluded.cached_tokens"};
    q.bind(call.key_id).bind(call.model).bind(call.skill_id).bind(day_of(call.created_at));
    q.bind(call.micro_usd).bind(std::int64_t{first ? 1 : 0});
    q.bind(call.input_tokens).bind(call.output_tokens).bind(call.cached_tokens);
    if (auto ran = q.run(); !ran) return ran;
  }
  query start{db,
              "INSERT INTO usage_start (key_id, started_at) VALUES (?, ?) ON CONFLICT (key_id) DO UPDATE SET "
              "started_at = min(started_at, excluded.started_at)"};
  return start.bind(call.key_id).bind(call.created_at).run();
}

result<void> record_call(connection& db, const usage_call& call) {
  auto first = is_first_of_request(db, call);
  if (!first) return pass_on(first);
  auto inserted = insert_call(db, call, *first);
  if (!inserted) return pass_on(inserted);
  if (!*inserted) return {};
  if (auto added = add_to_request(db, call); !added) return added;
  return add_to_totals(db, call, *first);
}

// Two texts, for each can use its own index.
constexpr const char* list_all_sql =
    "SELECT * FROM (SELECT request_id, key_id, model, skill_id, input_tokens, output_tokens, cached_tokens, "
    "micro_usd, warning, created_at, row FROM usage_request WHERE ?1 IS NULL ORDER BY row DESC LIMIT ?2) "
    "WHERE skill_id = coalesce(?3, skill_id) AND created_at >= ?4 ORDER BY row DESC LIMIT ?5";
constexpr const char* list_of_key_sql =
    "SELECT * FROM (SELECT request_id, key_id, model, skill_id, input_tokens, output_tokens, cached_tokens, "
    "micro_usd, warning, created_at, row FROM usage_request WHERE key_id = ?1 ORDER BY row DESC LIMIT ?2) "
    "WHERE skill_id = coalesce(?3, skill_id) AND created_at >= ?4 ORDER BY row DESC LIMIT ?5";

result<std::vector<usage_request>> list_requests(connection& db, const usage_filter& filter,
                                                 std::size_t limit) {
  std::vector<usage_request> found;
  query q{db, filter.key_id ? list_of_key_sql : list_all_sql};
  q.bind(filter.key_id).bind(std::int64_t{usage_listed_max}).bind(filter.skill_id);
  q.bind(filter.since.value_or(wall_time::min()));
  q.bind(static_cast<std::int64_t>(std::min(limit, usage_listed_max)));
  auto row = q.next();
  for (; row && *row; row = q.next()) {
    found.push_back({q.text(0), q.text(1), q.text(2), q.text(3), q.integer(4), q.integer(5), q.integer(6),
                     q.integer(7), q.optional_text(8), q.time(9)});
  }
  if (!row) return pass_on(row);
  return found;
}

// ?1 key, ?2 skill, ?3 first whole day, ?4 and ?5 bounds of the time before it that is summed call by call.
constexpr const char* totals_sql =
    "SELECT model, skill_id, sum(micro_usd), sum(requests), sum(input_tokens), sum(output_tokens), "
    "sum(cached_tokens) FROM (SELECT model, skill_id, micro_usd, requests, input_tokens, output_tokens, "
    "cached_tokens FROM usage_total WHERE key_id = coalesce(?1, key_id) AND skill_id = coalesce(?2, "
    "skill_id) "
    "AND day >= ?3 UNION ALL SELECT model, skill_id, micro_usd, first_of_request, input_tokens, "
    "output_tokens, cached_tokens FROM usage_call WHERE key_id = coalesce(?1, key_id) AND skill_id = "
    "coalesce(?2, skill_id) AND created_at >= ?4 AND created_at < ?5) GROUP BY model, skill_id "
    "ORDER BY model, skill_id";

result<bool> has_calls(connection& db, wall_time from, wall_time to) {
  query q{db, "SELECT 1 FROM usage_call WHERE created_at >= ? AND created_at < ? LIMIT 1"};
  return q.bind(from).bind(to).next();
}

result<std::optional<wall_time>> started_at(connection& db, const usage_filter& filter) {
  query q{db, "SELECT min(started_at) FROM usage_start WHERE key_id = coalesce(?, key_id)"};
  auto row = q.bind(filter.key_id).next();
  if (!row) return pass_on(row);
  return *row ? q.optional_time(0) : std::nullopt;
}

result<usage_totals> sum_up(connection& db, const usage_filter& filter) {
  usage_totals totals;
  std::int64_t first_day = std::numeric_limits<std::int64_t>::min();
  wall_time from{};
  wall_time to{};  // nothing is summed call by call
  if (filter.since) {
    first_day = day_of(*filter.since);
    const wall_time next = start_of_day(first_day + 1);
    auto kept = has_calls(db, start_of_day(first_day), next);
    if (!kept) return pass_on(kept);
    if (*kept) {
      from = *filter.since;
      to = next;
      ++first_day;
    }
  }
  {
    query q{db, totals_sql};
    q.bind(filter.key_id).bind(filter.skill_id).bind(first_day).bind(from).bind(to);
    auto row = q.next();
    for (; row && *row; row = q.next()) {
      totals.sums.push_back(
          {q.text(0), q.text(1), q.integer(2), q.integer(3), q.integer(4), q.integer(5), q.integer(6)});
    }
    if (!row) return pass_on(row);
  }
  auto started = started_at(db, filter);
  if (!started) return pass_on(started);
  totals.started_at = *started;
  return totals;
}

result<std::vector<usage_call>> read_calls(connection& db, const std::string& key,
                                           const std::string& request) {
  std::vector<usage_call> found;
  query q{db,
          "SELECT id, session_id, model, skill_id, input_tokens, output_tokens, cached_tokens, cache_hit, "
          "duration_ms, micro_usd, warning, created_at FROM usage_call WHERE key_id = ? AND request_id = ? "
          "ORDER BY row"};
  q.bind(key).bind(request);
  auto row = q.next();
  for (; row && *row; row = q.next()) {
    found.push_back({q.text(0), key, request, q.text(1), q.text(2), q.text(3), q.integer(4), q.integer(5),
                     q.integer(6), q.integer(7) != 0, q.integer(8), q.integer(9), q.optional_text(10),
                     q.time(11)});
  }
  if (!row) return pass_on(row);
  return found;
}

result<std::size_t> purge_days(connection& db, wall_time before, std::size_t rows_max) {
  const wall_time day = start_of_day(day_of(before));
  const auto most = static_cast<std::int64_t>(rows_max);
  query calls{db,
              "DELETE FROM usage_call WHERE row IN (SELECT row FROM usage_call WHERE created_at < ? ORDER BY "
              "created_at LIMIT ?)"};
  if (auto ran = calls.bind(day).bind(most).run(); !ran) return pass_on(ran);
  const std::size_t gone = db.changes();
  query requests{db,
                 "DELETE FROM usage_request WHERE row IN (SELECT row FROM usage_request WHERE created_at < ? "
                 "ORDER BY created_at LIMIT ?)"};
  if (auto ran = requests.bind(day).bind(most).run(); !ran) return pass_on(ran);
  return gone;
}

}  // namespace

void usage_table::record(std::vector<usage_call> calls, done<void> answer) {
  const std::size_t bytes = calls.size() * sizeof(usage_call);
  auto work = [calls = std::move(calls)](connection& db) -> result<void> {
    for (const usage_call& call : calls) {
      if (auto recorded = record_call(db, call); !recorded) return recorded;
    }
    return {};
  };
  worker_.submit<void>(durability::process, bytes, std::move(work), std::move(answer), urgency::later);
}

void usage_table::list(usage_filter filter, std::size_t limit, done<std::vector<usage_request>> answer) {
  const auto read = [filter = std::move(filter), limit](connection& db) {
    return list_requests(db, filter, limit);
  };
  worker_.submit<std::vector<usage_request>>(durability::process, 0, read, std::move(answer));
}

void usage_table::totals(usage_filter filter, done<usage_totals> answer) {
  const auto read = [filter = std::move(filter)](connection& db) { return sum_up(db, filter); };
  lists_.submit<usage_totals>(read, std::move(answer));
}

void usage_table::calls_of(std::string key_id, std::string request_id, done<std::vector<usage_call>> answer) {
  const auto read = [key = std::move(key_id), request = std::move(request_id)](connection& db) {
    return read_calls(db, key, request);
  };
  worker_.submit<std::vector<usage_call>>(durability::process, 0, read, std::move(answer));
}

void usage_table::purge(wall_time before, std::size_t rows_max, done<std::size_t> answer) {
  const auto work = [before, rows_max](connection& db) { return purge_days(db, before, rows_max); };
  worker_.submit<std::size_t>(durability::process, 0, work, std::move(answer));
}

}  // namespace tidegate::storage::sqlite
