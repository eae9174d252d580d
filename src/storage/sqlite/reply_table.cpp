#include <algorithm>

#include "storage/reply_seal.h"
#include "storage/sqlite/tables.h"

namespace tidegate::storage::sqlite {
namespace {

result<bool> is_kept(connection& db, const reply_key& key) {
  query q{db, "SELECT 1 FROM reply WHERE key_id = ? AND idempotency_key = ?"};
  return q.bind(key.key_id).bind(key.idempotency_key).next();
}

// Until `needed` more bytes fit; the oldest go first.
result<void> make_room(connection& db, std::size_t needed, std::size_t total_max) {
  auto total = count_of(db, "SELECT bytes FROM reply_total");
  if (!total) return pass_on(total);
  auto held = static_cast<std::size_t>(*total);
  while (held > 0 && held + needed > total_max) {
    query q{
        db,
        "DELETE FROM reply WHERE row = (SELECT row FROM reply ORDER BY created_at, row LIMIT 1) RETURNING "
        "bytes"};
    auto row = q.next();
    if (!row) return pass_on(row);
    if (!*row) break;
    held -= std::min(held, static_cast<std::size_t>(q.integer(0)));
    if (auto end = q.next(); !end) return pass_on(end);
  }
  return {};
}

result<void> insert_reply(connection& db, const sealer* seal, const reply_bounds& bounds,
                          const reply_key& key, const kept_reply& reply) {
  const auto headers = seal_reply_text(seal, key, "headers", reply.headers);
  const auto body = seal_reply_text(seal, key, "body", reply.body);
  if (!headers || !body) return fail(store_problem::no_key, "replies are kept sealed only");
  auto kept = is_kept(db, key);
  if (!kept) return pass_on(kept);
  if (*kept) return fail(store_problem::conflict, "a reply is kept under that key");
  const std::size_t bytes = held_bytes(reply);
  if (auto room = make_room(db, bytes, bounds.total_bytes); !room) return room;
  query q{db,
          "INSERT INTO reply (key_id, idempotency_key, request_digest, status, headers_sealed, body_sealed, "
          "bytes, "
          "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"};
  q.bind(key.key_id)
      .bind(key.idempotency_key)
      .bind(blob{reply.request_digest})
      .bind(std::int64_t{reply.status});
  q.bind_bytes(*headers).bind_bytes(*body).bind(static_cast<std::int64_t>(bytes)).bind(reply.created_at);
  return q.run();
}

result<std::optional<kept_reply>> find_reply(connection& db, const sealer* seal, const reply_key& key,
                                             wall_time made_since) {
  query q{db,
          "SELECT request_digest, status, headers_sealed, body_sealed, created_at FROM reply WHERE key_id = "
          "? AND "
          "idempotency_key = ?"};
  auto row = q.bind(key.key_id).bind(key.idempotency_key).next();
  if (!row) return pass_on(row);
  if (!*row) return std::optional<kept_reply>{};
  if (q.time(4) < made_since) {
    query stale{db, "DELETE FROM reply WHERE key_id = ? AND idempotency_key = ?"};
    if (auto gone = stale.bind(key.key_id).bind(key.idempotency_key).run(); !gone) return pass_on(gone);
    return std::optional<kept_reply>{};
  }
  kept_reply reply;
  const std::string digest = q.text(0);
  std::copy_n(digest.begin(), std::min(digest.size(), reply.request_digest.size()),
              reply.request_digest.begin());
  reply.status = static_cast<int>(q.integer(1));
  reply.headers = q.text(2);
  reply.body = q.text(3);
  reply.created_at = q.time(4);
  unseal_reply(seal, key, reply);
  return std::optional{std::move(reply)};
}

}  // namespace

void reply_table::put(reply_key key, kept_reply reply, done<void> answer) {
  const std::size_t bytes = reply_bytes(reply);
  if (bytes > std::min(bounds_.entry_bytes, bounds_.total_bytes)) {
    return answer(fail(store_problem::too_large, "the reply is too long to be kept"));
  }
  const auto work = [key = std::move(key), reply = std::move(reply), seal = seal_, bounds = bounds_](
                        connection& db) { return insert_reply(db, seal.get(), bounds, key, reply); };
  worker_.submit<void>(durability::process, bytes, work, std::move(answer));
}

void reply_table::get(reply_key key, wall_time made_since, done<std::optional<kept_reply>> answer) {
  const auto read = [key = std::move(key), made_since, seal = seal_](connection& db) {
    return find_reply(db, seal.get(), key, made_since);
  };
  worker_.submit<std::optional<kept_reply>>(durability::process, 0, read, std::move(answer));
}

void reply_table::purge(wall_time created_before, std::size_t rows_max, done<std::size_t> answer) {
  const auto work = [created_before, rows_max](connection& db) -> result<std::size_t> {
    query q{db,
            "DELETE FROM reply WHERE row IN (SELECT row FROM reply WHERE created_at < ? ORDER BY created_at "
            "LIMIT ?)"};
    auto ran = q.bind(created_before).bind(static_cast<std::int64_t>(rows_max)).run();
    if (!ran) return pass_on(ran);
    return db.changes();
  };
  worker_.submit<std::size_t>(durability::process, 0, work, std::move(answer));
}

}  // namespace tidegate::storage::sqlite
