#include "storage/sqlite/connection.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "foundation/check.h"

namespace tidegate::storage::sqlite {

namespace {

// Before SQLite opens it, so that it is never anybody else's; the log beside it gets the mode of the file
// itself. Returns an errno, or 0.
int make_private(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  const int problem = ::fchmod(fd, 0600) == 0 ? 0 : errno;
  ::close(fd);
  return problem;
}

// SQLite's own account of its memory costs a lock at every allocation and is read by nobody. Has no effect,
// and does no harm, where somebody else has started SQLite before.
void configure_once() {
  static const int done = ::sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  static_cast<void>(done);
}

// SQLite's own instr() takes a time that grows with the product of both lengths.
void has_text(sqlite3_context* context, int, sqlite3_value** given) {
  const void* const content = ::sqlite3_value_blob(given[0]);
  const void* const wanted = ::sqlite3_value_blob(given[1]);
  const auto length = static_cast<std::size_t>(::sqlite3_value_bytes(given[0]));
  const auto wanted_length = static_cast<std::size_t>(::sqlite3_value_bytes(given[1]));
  const bool found = wanted_length == 0 || (content != nullptr && wanted != nullptr &&
                                            ::memmem(content, length, wanted, wanted_length) != nullptr);
  ::sqlite3_result_int(context, found ? 1 : 0);
}

}  // namespace

void connection::closing::operator()(sqlite3* db) const { ::sqlite3_close_v2(db); }
void connection::finalizing::operator()(sqlite3_stmt* statement) const { ::sqlite3_finalize(statement); }

connection::~connection() = default;

std::expected<std::unique_ptr<connection>, std::string> connection::open(const std::string& path,
                                                                         fault_hook fault) {
  if (const int problem = make_private(path); problem != 0) {
    return std::unexpected{"cannot open " + path + ": " + std::generic_category().message(problem)};
  }
  return open_with(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, std::move(fault));
}

std::expected<std::unique_ptr<connection>, std::string> connection::open_to_read(const std::string& path,
                                                                                 fault_hook fault) {
  auto made = open_with(path, SQLITE_OPEN_READONLY, std::move(fault));
  if (!made) return made;
  constexpr int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY;
  ::sqlite3_create_function_v2((*made)->db_.get(), "has_text", 2, flags, nullptr, has_text, nullptr, nullptr,
                               nullptr);
  if (auto set = (*made)->execute("PRAGMA query_only=ON; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-4096");
      !set)
    return std::unexpected{std::move(set.error().message)};
  return made;
}

std::expected<std::unique_ptr<connection>, std::string> connection::open_with(const std::string& path,
                                                                              int flags, fault_hook fault) {
  configure_once();
  std::unique_ptr<connection> made{new connection{std::move(fault)}};
  sqlite3* db = nullptr;
  flags |= SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int code = ::sqlite3_open_v2(path.c_str(), &db, flags, nullptr);
  made->db_.reset(db);
  if (code != SQLITE_OK) {
    const char* const why = db != nullptr ? ::sqlite3_errmsg(db) : ::sqlite3_errstr(code);
    return std::unexpected{"cannot open " + path + ": " + why};
  }
  // One connection writes, so only its opening and closing can meet another's.
  ::sqlite3_busy_timeout(db, 1'000);
  ::sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
  ::sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  ::sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  return made;
}

std::string explain(int code, int system_code) {
  const int kind = code & 0xff;
  const bool full = kind == SQLITE_FULL || (kind == SQLITE_IOERR && system_code == ENOSPC);
  std::string message = full ? "no room is left on the disk that holds tidegate.db (sqlite: " : "sqlite: ";
  message += ::sqlite3_errstr(code);
  // The system's own word says more where SQLite only knows that something went wrong.
  const bool told_more = !full && system_code != 0 && (kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN);
  if (told_more) message += ": " + std::generic_category().message(system_code);
  message += (full ? ", code " : " (") + std::to_string(code) + ")";
  return message;
}

store_failure connection::failure(int code) const {
  if ((code & 0xff) == SQLITE_INTERRUPT) return {store_problem::timed_out, "the read took too long"};
  std::string message = explain(code, db_ != nullptr ? ::sqlite3_system_errno(db_.get()) : 0);
  // A constraint is the caller's affair: everything that is no constraint is the store's.
  return {(code & 0xff) == SQLITE_CONSTRAINT ? store_problem::conflict : store_problem::unavailable,
          std::move(message)};
}

result<void> connection::execute(const char* sql) {
  if (faulty(sql)) return std::unexpected{failure(SQLITE_IOERR)};
  const int code = ::sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return std::unexpected{failure(code)};
  return {};
}

std::size_t connection::changes() const { return static_cast<std::size_t>(::sqlite3_changes64(db_.get())); }

bool connection::in_transaction() const { return ::sqlite3_get_autocommit(db_.get()) == 0; }

result<void> connection::set_full_sync(bool full) {
  if (full_sync_ == full) return {};
  auto set = execute(full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
  if (set) full_sync_ = full;
  return set;
}

result<sqlite3_stmt*> connection::prepare(const char* sql) {
  if (const auto known = prepared_.find(sql); known != prepared_.end()) return known->second.get();
  sqlite3_stmt* statement = nullptr;
  const int code = ::sqlite3_prepare_v3(db_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return std::unexpected{failure(code)};
  prepared_[sql].reset(statement);
  return statement;
}

// In place of SQLite's own hook, which does the same but tells nobody the length.
void connection::watch_log() {
  constexpr int step = 1'000;  // pages
  const auto committed = [](void* self, sqlite3* db, const char* name, int pages) {
    static_cast<connection*>(self)->log_pages_ = pages;
    if (pages >= step) ::sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    return SQLITE_OK;
  };
  ::sqlite3_wal_hook(db_.get(), committed, this);
}

void connection::begin_log_anew() {
  ::sqlite3_wal_checkpoint_v2(db_.get(), "main", SQLITE_CHECKPOINT_RESTART, nullptr, nullptr);
  log_pages_ = 0;
}

time_limit::time_limit(connection& on, const foundation::clock& time, foundation::instant by)
    : on_{on}, time_{time}, by_{by} {
  constexpr int steps = 1'000;  // of SQLite's machine: some ten microseconds
  ::sqlite3_progress_handler(on_.db_.get(), steps, is_over, this);
}

time_limit::~time_limit() { ::sqlite3_progress_handler(on_.db_.get(), 0, nullptr, nullptr); }

int time_limit::is_over(void* self) {
  const auto& limit = *static_cast<const time_limit*>(self);
  return limit.time_.now() >= limit.by_ ? 1 : 0;
}

query::query(connection& on, const char* sql) : on_{on}, sql_{sql} {
  auto statement = on.prepare(sql);
  if (statement) {
    statement_ = *statement;
    TG_CHECK(::sqlite3_stmt_busy(statement_) == 0);
  } else {
    failure_ = std::move(statement.error());
  }
}

query::~query() {
  if (statement_ == nullptr) return;
  ::sqlite3_reset(statement_);
  ::sqlite3_clear_bindings(statement_);
}

void query::keep(int code) {
  if (code != SQLITE_OK && !failure_) failure_ = on_.failure(code);
}

query& query::bind(std::string_view text) {
  // A null pointer would bind NULL.
  const char* const data = text.data() != nullptr ? text.data() : "";
  if (!failure_)
    keep(::sqlite3_bind_text64(statement_, ++bound_, data, text.size(), SQLITE_STATIC, SQLITE_UTF8));
  return *this;
}

query& query::bind(blob bytes) {
  const void* const data = bytes.data() != nullptr ? static_cast<const void*>(bytes.data()) : "";
  if (!failure_) keep(::sqlite3_bind_blob64(statement_, ++bound_, data, bytes.size(), SQLITE_STATIC));
  return *this;
}

query& query::bind(std::int64_t number) {
  if (!failure_) keep(::sqlite3_bind_int64(statement_, ++bound_, number));
  return *this;
}

query& query::bind_null() {
  if (!failure_) keep(::sqlite3_bind_null(statement_, ++bound_));
  return *this;
}

query& query::bind_bytes(const std::string& bytes) {
  return bind(blob{reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

query& query::bind_bytes(const std::optional<std::string>& bytes) {
  return bytes ? bind_bytes(*bytes) : bind_null();
}

result<bool> query::next() {
  if (!failure_) {
    TG_CHECK(bound_ == ::sqlite3_bind_parameter_count(statement_));
    const int code = on_.faulty(sql_) ? SQLITE_IOERR : ::sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    keep(code);
  }
  return std::unexpected{*failure_};
}

result<void> query::run() {
  auto row = next();
  if (!row) return std::unexpected{std::move(row.error())};
  TG_CHECK(!*row);
  return {};
}

bool query::is_null(int column) const { return ::sqlite3_column_type(statement_, column) == SQLITE_NULL; }

std::int64_t query::integer(int column) const { return ::sqlite3_column_int64(statement_, column); }

std::string query::text(int column) const {
  const void* const data = ::sqlite3_column_blob(statement_, column);
  const int length = ::sqlite3_column_bytes(statement_, column);
  if (data == nullptr || length <= 0) return {};
  return {static_cast<const char*>(data), static_cast<std::size_t>(length)};
}

std::optional<std::string> query::optional_text(int column) const {
  if (is_null(column)) return std::nullopt;
  return text(column);
}

foundation::wall_time query::time(int column) const {
  return foundation::wall_time{foundation::milliseconds{integer(column)}};
}

std::optional<foundation::wall_time> query::optional_time(int column) const {
  if (is_null(column)) return std::nullopt;
  return time(column);
}

}  // namespace tidegate::storage::sqlite
