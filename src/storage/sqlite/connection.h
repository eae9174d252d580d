// One SQLite connection and its statements. One thread at a time.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "foundation/time.h"
#include "storage/result.h"
#include "storage/sqlite/sqlite_stores.h"

struct sqlite3;
struct sqlite3_stmt;

namespace tidegate::storage::sqlite {

// A failure of SQLite for an operator: its (extended) code, and the system's errno where there was one.
std::string explain(int code, int system_code);

class connection {
 public:
  static std::expected<std::unique_ptr<connection>, std::string> open(const std::string& path,
                                                                      fault_hook fault);
  // Of a database that is there, in write-ahead mode and open elsewhere: reads only, and knows
  // has_text(content, wanted), whether one text holds the other byte by byte.
  static std::expected<std::unique_ptr<connection>, std::string> open_to_read(const std::string& path,
                                                                              fault_hook fault);
  ~connection();
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  // One or several statements without parameters.
  result<void> execute(const char* sql);
  // Rows that the latest statement changed.
  std::size_t changes() const;
  // Outside every transaction. A full sync survives a power loss, else a commit survives the process.
  result<void> set_full_sync(bool full);
  bool in_transaction() const;
  // Of the connection that writes: pages in the write-ahead log as of the latest commit, and the log's new
  // beginning, for when nobody reads. What a failure leaves is done another time.
  void watch_log();
  int log_pages() const { return log_pages_; }
  void begin_log_anew();

 private:
  friend class query;
  friend class time_limit;
  static std::expected<std::unique_ptr<connection>, std::string> open_with(const std::string& path, int flags,
                                                                           fault_hook fault);
  explicit connection(fault_hook fault) : fault_{std::move(fault)} {}
  // Compiled once for each text, which is a literal: its address names it.
  result<sqlite3_stmt*> prepare(const char* sql);
  bool faulty(std::string_view sql) const { return fault_ && fault_(sql); }
  store_failure failure(int code) const;

  struct closing {
    void operator()(sqlite3* db) const;
  };
  struct finalizing {
    void operator()(sqlite3_stmt* statement) const;
  };
  fault_hook fault_;
  std::unique_ptr<sqlite3, closing> db_;
  std::unordered_map<const void*, std::unique_ptr<sqlite3_stmt, finalizing>> prepared_;
  std::optional<bool> full_sync_;
  int log_pages_ = 0;
};

// While it lives, statements of the connection end with `timed_out` soon after `by`.
class time_limit {
 public:
  time_limit(connection& on, const foundation::clock& time, foundation::instant by);
  ~time_limit();
  time_limit(const time_limit&) = delete;
  time_limit& operator=(const time_limit&) = delete;

 private:
  static int is_over(void* self);
  connection& on_;
  const foundation::clock& time_;
  const foundation::instant by_;
};

using blob = std::span<const std::uint8_t>;

// One run of a statement: parameters in order, then rows. The first thing to go wrong stays, and everything
// after it does nothing; run() and next() tell. Texts and blobs bound must outlive it. At most one run of the
// same text at a time.
class query {
 public:
  query(connection& on, const char* sql);
  ~query();
  query(const query&) = delete;
  query& operator=(const query&) = delete;

  query& bind(std::string_view text);
  query& bind(blob bytes);
  query& bind(std::int64_t number);
  query& bind(foundation::wall_time at) { return bind(at.time_since_epoch().count()); }
  query& bind_null();
  template <typename T>
  query& bind(const std::optional<T>& value) {
    return value ? bind(*value) : bind_null();
  }
  query& bind_bytes(const std::string& bytes);
  query& bind_bytes(const std::optional<std::string>& bytes);
  // A temporary would be gone before the statement runs.
  query& bind(std::string&&) = delete;
  query& bind_bytes(std::string&&) = delete;
  query& bind_bytes(std::optional<std::string>&&) = delete;

  // For statements without rows.
  result<void> run();
  // Whether there is another row.
  result<bool> next();

  // Of the present row.
  bool is_null(int column) const;
  std::int64_t integer(int column) const;
  std::string text(int column) const;  // and blobs
  std::optional<std::string> optional_text(int column) const;
  foundation::wall_time time(int column) const;
  std::optional<foundation::wall_time> optional_time(int column) const;

 private:
  void keep(int code);
  connection& on_;
  const char* sql_;
  sqlite3_stmt* statement_ = nullptr;
  std::optional<store_failure> failure_;
  int bound_ = 0;
};

}  // namespace tidegate::storage::sqlite
