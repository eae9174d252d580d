#include <algorithm>

#include "storage/lists.h"
#include "storage/sqlite/tables.h"

namespace tidegate::storage::sqlite {
namespace {

constexpr const char* insert_sql =
    "INSERT INTO client_key (id, name, mac, policy, role, projects, channels, enabled, created_at, "
    "rotated_at, "
    "revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
constexpr const char* list_sql =
    "SELECT id, name, mac, policy, role, projects, channels, enabled, created_at, rotated_at, revoked_at "
    "FROM client_key ORDER BY created_at, id";
constexpr const char* find_sql =
    "SELECT id, name, mac, policy, role, projects, channels, enabled, created_at, rotated_at, revoked_at "
    "FROM client_key WHERE id = ? AND revoked_at IS NULL";

client_key read_key(const query& row) {
  client_key key;
  key.id = row.text(0);
  key.name = row.text(1);
  const std::string mac = row.text(2);  // of 32 bytes by the table's own check
  std::copy_n(mac.begin(), std::min(mac.size(), key.mac.size()), key.mac.begin());
  key.policy = row.text(3);
  key.role = row.text(4);
  key.projects = split_names(row.text(5));
  key.channels = split_names(row.text(6));
  key.enabled = row.integer(7) != 0;
  key.created_at = row.time(8);
  key.rotated_at = row.optional_time(9);
  key.revoked_at = row.optional_time(10);
  return key;
}

result<void> insert_key(connection& db, const client_key& key) {
  auto count = count_of(db, "SELECT count(*) FROM client_key WHERE revoked_at IS NULL");
  if (!count) return pass_on(count);
  if (static_cast<std::size_t>(*count) >= client_keys_max) {
    return fail(store_problem::too_large, "no room for another client key");
  }
  const std::string projects = join_names(key.projects);
  const std::string channels = join_names(key.channels);
  query q{db, insert_sql};
  q.bind(key.id).bind(key.name).bind(blob{key.mac}).bind(key.policy).bind(key.role);
  q.bind(projects).bind(channels).bind(std::int64_t{key.enabled});
  q.bind(key.created_at).bind(key.rotated_at).bind(key.revoked_at);
  return q.run();
}

result<client_key> find_live(connection& db, const std::string& id) {
  query q{db, find_sql};
  q.bind(id);
  auto row = q.next();
  if (!row) return pass_on(row);
  if (!*row) return fail(store_problem::not_found, "no such client key");
  return read_key(q);
}

}  // namespace

result<std::int64_t> count_of(connection& db, const char* sql) {
  query q{db, sql};
  auto row = q.next();
  if (!row) return pass_on(row);
  return *row ? q.integer(0) : 0;
}

void key_table::put(client_key key, done<void> answer) {
  const std::size_t bytes = key.name.size();
  worker_.submit<void>(
      durability::power, bytes, [key = std::move(key)](connection& db) { return insert_key(db, key); },
      std::move(answer));
}

void key_table::list(done<std::vector<client_key>> answer) {
  const auto read = [](connection& db) -> result<std::vector<client_key>> {
    std::vector<client_key> keys;
    query q{db, list_sql};
    auto row = q.next();
    for (; row && *row; row = q.next()) keys.push_back(read_key(q));
    if (!row) return pass_on(row);
    return keys;
  };
  worker_.submit<std::vector<client_key>>(durability::process, 0, read, std::move(answer));
}

void key_table::revoke(std::string id, wall_time at, done<client_key> answer) {
  const auto work = [id = std::move(id), at](connection& db) -> result<client_key> {
    auto key = find_live(db, id);
    if (!key) return key;
    query q{db, "UPDATE client_key SET revoked_at = ? WHERE id = ?"};
    auto ran = q.bind(at).bind(id).run();
    if (!ran) return pass_on(ran);
    key->revoked_at = at;
    return key;
  };
  worker_.submit<client_key>(durability::power, 0, work, std::move(answer));
}

void key_table::rotate(std::string id, mac_bytes mac, wall_time at, done<client_key> answer) {
  const auto work = [id = std::move(id), mac, at](connection& db) -> result<client_key> {
    auto key = find_live(db, id);
    if (!key) return key;
    query q{db, "UPDATE client_key SET mac = ?, rotated_at = ? WHERE id = ?"};
    auto ran = q.bind(blob{mac}).bind(at).bind(id).run();
    if (!ran) return pass_on(ran);
    key->mac = mac;
    key->rotated_at = at;
    return key;
  };
  worker_.submit<client_key>(durability::power, 0, work, std::move(answer));
}

}  // namespace tidegate::storage::sqlite
