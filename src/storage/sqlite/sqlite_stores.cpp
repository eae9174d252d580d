#include "storage/sqlite/sqlite_stores.h"

#include <utility>

#include "storage/sqlite/schema.h"
#include "storage/sqlite/tables.h"

namespace tidegate::storage::sqlite {
namespace {

class sqlite_stores final : public stores {
 public:
  sqlite_stores(std::unique_ptr<connection> db, const options& where,
                const std::shared_ptr<const sealer>& seal)
      : worker_{std::move(db), where.queue_calls, where.queue_bytes},
        keys_{worker_},
        secrets_{worker_},
        settings_{worker_},
        traces_{worker_, seal, where.trace_texts},
        replies_{worker_, seal, where.replies},
        chats_{worker_},
        usage_{worker_} {}

  key_store& keys() override { return keys_; }
  secret_store& secrets() override { return secrets_; }
  setting_store& settings() override { return settings_; }
  trace_store& traces() override { return traces_; }
  reply_store& replies() override { return replies_; }
  chat_store& chats() override { return chats_; }
  usage_store& usage() override { return usage_; }

 private:
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
  auto db = connection::open(where.path, std::move(fault_for_test));
  if (!db) return std::unexpected{std::move(db.error())};
  if (auto ready = prepare_schema(**db); !ready) return std::unexpected{where.path + ": " + ready.error()};
  return std::make_unique<sqlite_stores>(std::move(*db), where, seal);
}

}  // namespace tidegate::storage::sqlite
