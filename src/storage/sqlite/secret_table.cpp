#include "storage/sqlite/tables.h"

namespace tidegate::storage::sqlite {
namespace {

// Only what is new counts against a bound: a replacement always fits.
result<bool> exists(connection& db, const char* sql, const std::string& name) {
  query q{db, sql};
  return q.bind(name).next();
}

constexpr const char* secret_exists_sql = "SELECT 1 FROM secret WHERE name = ?";
constexpr const char* setting_exists_sql = "SELECT 1 FROM setting WHERE name = ?";

result<void> write_setting(connection& db, const setting_change& change, wall_time at) {
  if (!change.json) {
    query q{db, "DELETE FROM setting WHERE name = ?"};
    return q.bind(change.name).run();
  }
  if (change.json->size() > setting_text_max)
    return fail(store_problem::too_large, "the setting is too long");
  auto known = exists(db, setting_exists_sql, change.name);
  if (!known) return pass_on(known);
  auto count = count_of(db, "SELECT count(*) FROM setting");
  if (!count) return pass_on(count);
  if (!*known && static_cast<std::size_t>(*count) >= settings_max) {
    return fail(store_problem::too_large, "no room for another setting");
  }
  query q{db,
          "INSERT INTO setting (name, json, updated_at) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
          "json = excluded.json, updated_at = excluded.updated_at"};
  return q.bind(change.name).bind(*change.json).bind(at).run();
}

// The first text behind every text that begins with `prefix`, or nothing where there is none.
std::optional<std::string> end_of_prefix(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (prefix.empty()) return std::nullopt;
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

result<std::optional<std::string>> find_text(connection& db, const char* sql, const std::string& name) {
  query q{db, sql};
  auto row = q.bind(name).next();
  if (!row) return pass_on(row);
  if (!*row) return std::optional<std::string>{};
  return std::optional{q.text(0)};
}

}  // namespace

result<void> write_secret(connection& db, const std::string& name, const std::string& sealed, wall_time at) {
  if (sealed.size() > sealed_secret_max) return fail(store_problem::too_large, "the secret is too long");
  auto known = exists(db, secret_exists_sql, name);
  if (!known) return pass_on(known);
  auto count = count_of(db, "SELECT count(*) FROM secret");
  if (!count) return pass_on(count);
  if (!*known && static_cast<std::size_t>(*count) >= secrets_max) {
    return fail(store_problem::too_large, "no room for another secret");
  }
  query q{db,
          "INSERT INTO secret (name, sealed, updated_at) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
          "sealed = excluded.sealed, updated_at = excluded.updated_at"};
  return q.bind(name).bind_bytes(sealed).bind(at).run();
}

result<bool> erase_secret(connection& db, const std::string& name) {
  query q{db, "DELETE FROM secret WHERE name = ?"};
  auto ran = q.bind(name).run();
  if (!ran) return pass_on(ran);
  return db.changes() > 0;
}

void secret_table::set(std::string name, std::string sealed, wall_time at, done<void> answer) {
  const std::size_t bytes = sealed.size();
  worker_.submit<void>(
      durability::power, bytes,
      [name = std::move(name), sealed = std::move(sealed), at](connection& db) {
        return write_secret(db, name, sealed, at);
      },
      std::move(answer));
}

void secret_table::list(done<std::vector<secret_entry>> answer) {
  const auto read = [](connection& db) -> result<std::vector<secret_entry>> {
    std::vector<secret_entry> entries;
    query q{db, "SELECT name, updated_at FROM secret ORDER BY name"};
    auto row = q.next();
    for (; row && *row; row = q.next()) entries.push_back({q.text(0), q.time(1)});
    if (!row) return pass_on(row);
    return entries;
  };
  worker_.submit<std::vector<secret_entry>>(durability::process, 0, read, std::move(answer));
}

void secret_table::get(std::string name, done<std::optional<std::string>> answer) {
  const auto read = [name = std::move(name)](connection& db) {
    return find_text(db, "SELECT sealed FROM secret WHERE name = ?", name);
  };
  worker_.submit<std::optional<std::string>>(durability::process, 0, read, std::move(answer));
}

void secret_table::remove(std::string name, done<void> answer) {
  const auto work = [name = std::move(name)](connection& db) -> result<void> {
    auto was = erase_secret(db, name);
    if (!was) return pass_on(was);
    if (!*was) return fail(store_problem::not_found, "no such secret");
    return {};
  };
  worker_.submit<void>(durability::power, 0, work, std::move(answer));
}

void setting_table::apply(std::vector<setting_change> changes, std::vector<secret_change> secrets,
                          wall_time at, done<void> answer) {
  std::size_t bytes = 0;
  for (const setting_change& change : changes) bytes += change.json ? change.json->size() : 0;
  for (const secret_change& change : secrets) bytes += change.sealed ? change.sealed->size() : 0;
  const auto work = [changes = std::move(changes), secrets = std::move(secrets),
                     at](connection& db) -> result<void> {
    for (const setting_change& change : changes) {
      if (auto wrote = write_setting(db, change, at); !wrote) return wrote;
    }
    for (const secret_change& change : secrets) {
      if (change.sealed) {
        if (auto wrote = write_secret(db, change.name, *change.sealed, at); !wrote) return wrote;
      } else if (auto erased = erase_secret(db, change.name); !erased) {
        return pass_on(erased);
      }
    }
    return {};
  };
  worker_.submit<void>(durability::power, bytes, work, std::move(answer));
}

void setting_table::list(std::string prefix, done<std::vector<setting>> answer) {
  const auto read = [prefix = std::move(prefix)](connection& db) -> result<std::vector<setting>> {
    std::vector<setting> found;
    const auto end = end_of_prefix(prefix);
    query q{db,
            "SELECT name, json FROM setting WHERE name >= ?1 AND (?2 IS NULL OR name < ?2) ORDER BY name"};
    q.bind(prefix);
    if (end) {
      q.bind(*end);
    } else {
      q.bind_null();
    }
    auto row = q.next();
    for (; row && *row; row = q.next()) found.push_back({q.text(0), q.text(1)});
    if (!row) return pass_on(row);
    return found;
  };
  worker_.submit<std::vector<setting>>(durability::process, 0, read, std::move(answer));
}

void setting_table::get(std::string name, done<std::optional<std::string>> answer) {
  const auto read = [name = std::move(name)](connection& db) {
    return find_text(db, "SELECT json FROM setting WHERE name = ?", name);
  };
  worker_.submit<std::optional<std::string>>(durability::process, 0, read, std::move(answer));
}

}  // namespace tidegate::storage::sqlite
