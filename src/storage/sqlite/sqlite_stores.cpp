#include "storage/sqlite/sqlite_stores.h"

#include <utility>

#include "storage/sqlite/reader.h"
#include "storage/sqlite/schema.h"
#include "storage/sqlite/tables.h"

namespace tidegate::storage::sqlite {
namespace {

class sqlite_stores final : public stores {
 public:
  sqlite_stores(std::shared_ptr<connection> db, const options& where,
                const std::shared_ptr<const sealer>& seal, const fault_hook& fault)
      : db_{std::move(db)},
        lists_{worker_, gate_, {where.path, where.read_calls, where.read_patience, fault}},
        searches_{worker_, gate_, {where.path, where.read_calls, where.read_patience, fault}},
        worker_{db_, where.queue_calls, where.queue_bytes, gate_, where.log_pages},
        keys_{worker_},
        secrets_{worker_},
        settings_{worker_},
        traces_{worker_, seal, where.trace_texts},
        replies_{worker_, seal, where.replies},
        chats_{worker_, lists_, searches_},
        usage_{worker_, lists_} {}

  key_store& keys() override { return keys_; }
  secret_store& secrets() override { return secrets_; }
  setting_store& settings() override { return settings_; }
  trace_store& traces() override { return traces_; }
  reply_store& replies() override { return replies_; }
  chat_store& chats() override { return chats_; }
  usage_store& usage() override { return usage_; }

 private:
  // It closes last, and by that clears the log away, which readers cannot.
  const std::shared_ptr<connection> db_;
  read_gate gate_;
  // Apart, so that what is bounded does not wait behind what is not. Behind the worker, whose last answers
  // come to them.
  reader lists_;
  reader searches_;
  worker worker_;
  key_table keys_;
  secret_table secrets_;
  setting_table settings_;
  trace_table traces_;
  reply_table replies_;
  chat_table chats_;
  usage_table usage_;
};

}  // namespace

std::expected<std::unique_ptr<stores>, std::string> open(options where, std::shared_ptr<const sealer> seal,
                                                         fault_hook fault_for_test) {
  auto db = connection::open(where.path, fault_for_test);
  if (!db) return std::unexpected{std::move(db.error())};
  if (auto ready = prepare_schema(**db); !ready) return std::unexpected{where.path + ": " + ready.error()};
  return std::make_unique<sqlite_stores>(std::move(*db), where, seal, fault_for_test);
}

}  // namespace tidegate::storage::sqlite
