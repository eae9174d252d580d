// The database's shape and how an older one becomes it.
#pragma once

#include <expected>
#include <string>

#include "storage/sqlite/connection.h"

namespace tidegate::storage::sqlite {

// "TgDb" in the file's header: which program a file belongs to.
inline constexpr std::int64_t application_id = 0x54674462;

// Sets the connection up (write-ahead log, foreign keys, secure delete), checks the file and applies the
// migrations that it has not seen, each in a transaction of its own.
std::expected<void, std::string> prepare_schema(connection& db);
// What this program writes.
std::int64_t schema_version();

}  // namespace tidegate::storage::sqlite
