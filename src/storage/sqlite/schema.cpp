#include "storage/sqlite/schema.h"

#include <array>

namespace tidegate::storage::sqlite {
namespace {

// Entry N takes a database from version N to N + 1. An entry that was released never changes. Times are Unix
// milliseconds; lists are texts separated by line feeds.
constexpr std::array migrations{
    R"sql(
CREATE TABLE client_key (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  mac BLOB NOT NULL UNIQUE CHECK (length(mac) = 32),
  policy TEXT NOT NULL,
  role TEXT NOT NULL,
  projects TEXT NOT NULL,
  channels TEXT NOT NULL,
  enabled INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  rotated_at INTEGER,
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX client_key_live_name ON client_key (name) WHERE revoked_at IS NULL;

CREATE TABLE secret (
  name TEXT PRIMARY KEY,
  sealed BLOB NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE setting (
  name TEXT PRIMARY KEY,
  json TEXT NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE trace (
  row INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL UNIQUE,
  trace_id TEXT NOT NULL,
  execution_id TEXT NOT NULL,
  skill_id TEXT NOT NULL,
  mode TEXT NOT NULL,
  model TEXT NOT NULL,
  input_sealed BLOB,
  output_sealed BLOB,
  project_id TEXT,
  document_id TEXT,
  stable_prefix_hash TEXT,
  prompt_hash TEXT,
  candidate_group TEXT,
  started_at INTEGER NOT NULL,
  completed_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  code TEXT
) STRICT;
CREATE INDEX trace_by_completion ON trace (completed_at);
CREATE INDEX trace_by_group ON trace (candidate_group) WHERE candidate_group IS NOT NULL;

CREATE TABLE feedback (
  row INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL REFERENCES trace (run_id) ON DELETE CASCADE,
  trace_id TEXT NOT NULL,
  action TEXT NOT NULL,
  evidence_ref TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX feedback_by_run ON feedback (run_id);

CREATE TABLE candidate_group (
  id TEXT PRIMARY KEY,
  strong_negative_at INTEGER NOT NULL
) STRICT;

CREATE TABLE reply (
  row INTEGER PRIMARY KEY,
  key_id TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  request_digest BLOB NOT NULL CHECK (length(request_digest) = 32),
  status INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  headers_sealed BLOB NOT NULL,
  body_sealed BLOB NOT NULL,
  UNIQUE (key_id, idempotency_key)
) STRICT;
CREATE INDEX reply_by_age ON reply (created_at);
CREATE TABLE reply_total (bytes INTEGER NOT NULL) STRICT;
INSERT INTO reply_total VALUES (0);
CREATE TRIGGER reply_comes AFTER INSERT ON reply BEGIN UPDATE reply_total SET bytes = bytes + new.bytes; END;
CREATE TRIGGER reply_goes AFTER DELETE ON reply BEGIN UPDATE reply_total SET bytes = bytes - old.bytes; END;
)sql",
    R"sql(
CREATE TABLE chat_session (
  row INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  project_id TEXT NOT NULL,
  title TEXT NOT NULL,
  archived INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  messages INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX chat_session_by_project ON chat_session (project_id, updated_at);

CREATE TABLE chat_current (
  project_id TEXT PRIMARY KEY,
  session_row INTEGER NOT NULL UNIQUE REFERENCES chat_session (row) ON DELETE CASCADE
) STRICT;

CREATE TABLE chat_message (
  row INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  session_row INTEGER NOT NULL REFERENCES chat_session (row) ON DELETE CASCADE,
  role TEXT NOT NULL,
  content TEXT NOT NULL,
  skill_id TEXT,
  timestamp INTEGER NOT NULL,
  trace_id TEXT NOT NULL
) STRICT;
CREATE INDEX chat_message_by_session ON chat_message (session_row);
CREATE TRIGGER chat_message_comes AFTER INSERT ON chat_message BEGIN
  UPDATE chat_session SET messages = messages + 1, bytes = bytes + length(CAST(new.content AS BLOB)),
    updated_at = max(updated_at, new.timestamp) WHERE row = new.session_row;
END;
CREATE TRIGGER chat_message_goes AFTER DELETE ON chat_message BEGIN
  UPDATE chat_session SET messages = messages - 1, bytes = bytes - length(CAST(old.content AS BLOB))
    WHERE row = old.session_row;
END;

CREATE TABLE chat_deleted (
  row INTEGER PRIMARY KEY,
  project_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  UNIQUE (project_id, session_id)
) STRICT;

CREATE TABLE usage_request (
  row INTEGER PRIMARY KEY,
  key_id TEXT NOT NULL,
  request_id TEXT NOT NULL,
  model TEXT NOT NULL,
  skill_id TEXT NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  micro_usd INTEGER NOT NULL,
  warning TEXT,
  created_at INTEGER NOT NULL,
  UNIQUE (key_id, request_id)
) STRICT;
CREATE INDEX usage_request_by_key ON usage_request (key_id);
CREATE INDEX usage_request_by_age ON usage_request (created_at);

CREATE TABLE usage_call (
  row INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  key_id TEXT NOT NULL,
  request_id TEXT NOT NULL,
  first_of_request INTEGER NOT NULL,
  session_id TEXT NOT NULL,
  model TEXT NOT NULL,
  skill_id TEXT NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  cache_hit INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  micro_usd INTEGER NOT NULL,
  warning TEXT,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX usage_call_by_age ON usage_call (created_at);
CREATE INDEX usage_call_by_request ON usage_call (key_id, request_id);

CREATE TABLE usage_total (
  key_id TEXT NOT NULL,
  model TEXT NOT NULL,
  skill_id TEXT NOT NULL,
  day INTEGER NOT NULL,
  micro_usd INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  PRIMARY KEY (key_id, model, skill_id, day)
) STRICT, WITHOUT ROWID;
CREATE TABLE usage_start (key_id TEXT PRIMARY KEY, started_at INTEGER NOT NULL) STRICT;
)sql",
    R"sql(
ALTER TABLE trace ADD COLUMN key_id TEXT;
)sql",
};

result<std::int64_t> number_of(connection& db, const char* sql) {
  query q{db, sql};
  auto row = q.next();
  if (!row) return std::unexpected{std::move(row.error())};
  return *row ? q.integer(0) : 0;
}

result<std::string> text_of(connection& db, const char* sql) {
  query q{db, sql};
  auto row = q.next();
  if (!row) return std::unexpected{std::move(row.error())};
  return *row ? q.text(0) : std::string{};
}

result<void> set_up(connection& db) {
  // Deleted content is overwritten: what was purged is gone from the file too. Pages of 8 KiB hold several
  // runs with their texts where 4 KiB would hold one.
  auto set = db.execute(
      "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON;"
      "PRAGMA secure_delete=ON; PRAGMA journal_size_limit=67108864;"
      "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16384;"
      // Places for messages to come (CHAT-2). In memory, and yet part of every transaction. `unborn`: the
      // session is made by the first message.
      "CREATE TEMP TABLE chat_place (session_id TEXT PRIMARY KEY, project_id TEXT NOT NULL,"
      "  places INTEGER NOT NULL, unborn INTEGER NOT NULL);"
      "CREATE INDEX temp.chat_place_unborn ON chat_place (project_id) WHERE unborn");
  return set ? db.set_full_sync(true) : set;
}

result<void> migrate(connection& db, std::size_t from) {
  const std::string stamp = "PRAGMA application_id=" + std::to_string(application_id) +
                            "; PRAGMA user_version=" + std::to_string(from + 1) + "; COMMIT";
  auto done = db.execute("BEGIN IMMEDIATE");
  if (done) done = db.execute(migrations[from]);
  if (done) done = db.execute(stamp.c_str());
  if (!done && db.in_transaction()) static_cast<void>(db.execute("ROLLBACK"));
  return done;
}

std::unexpected<std::string> refuse(const store_failure& why) {
  return std::unexpected{"the database cannot be used: " + why.message};
}

// Of the tables that decide who is let in; the others may be of any size and would hold up the start.
std::expected<void, std::string> check_health(connection& db) {
  for (const char* const sql : {"PRAGMA quick_check('client_key')", "PRAGMA quick_check('secret')",
                                "PRAGMA quick_check('setting')"}) {
    const auto health = text_of(db, sql);
    if (!health) return refuse(health.error());
    if (*health != "ok") return std::unexpected{"the database is damaged: " + *health};
  }
  return {};
}

}  // namespace

std::int64_t schema_version() { return static_cast<std::int64_t>(migrations.size()); }

std::expected<void, std::string> prepare_schema(connection& db) {
  const auto owner = number_of(db, "PRAGMA application_id");
  if (!owner) return refuse(owner.error());
  const auto version = number_of(db, "PRAGMA user_version");
  if (!version) return refuse(version.error());
  const auto tables = number_of(db, "SELECT count(*) FROM sqlite_schema");
  if (!tables) return refuse(tables.error());
  const bool fresh = *tables == 0 && *version == 0;
  if (!fresh && *owner != application_id) return std::unexpected{"the file is a database of another program"};
  if (*version < 0 || *version > schema_version()) {
    return std::unexpected{"the database has schema version " + std::to_string(*version) +
                           ", written by a newer version; this one knows up to " +
                           std::to_string(schema_version())};
  }
  if (const auto ready = set_up(db); !ready) return refuse(ready.error());
  for (auto from = static_cast<std::size_t>(*version); from < migrations.size(); ++from) {
    if (const auto done = migrate(db, from); !done) return refuse(done.error());
  }
  return check_health(db);
}

}  // namespace tidegate::storage::sqlite
