// The stores in one SQLite file: one connection that writes, used by one thread of its own, in write-ahead
// mode. Calls queue up; what is queued together is committed together, each call in a savepoint of its own,
// so that a commit's cost is shared and one call's failure is its own. A commit that fails fails every call
// of it. Reads that may be long have connections and threads of their own (reader.h), a bound and a time.
#pragma once

#include <cstddef>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "foundation/time.h"
#include "storage/seal.h"
#include "storage/stores.h"

namespace tidegate::storage::sqlite {

struct options {
  // Made with mode 0600 where it is missing; its folder exists.
  std::string path;
  // Calls that wait, and the bytes of their arguments; beyond either a call is answered `overloaded` at once.
  std::size_t queue_calls = 8'192;
  std::size_t queue_bytes = 64UL << 20;
  // Of lists and of searches each: reads under way or waiting, and how long one may take from its call on;
  // beyond the first a call is answered `overloaded`, beyond the second `timed_out`.
  std::size_t read_calls = 64;
  foundation::milliseconds read_patience{5'000};
  // Of the write-ahead log, about; long reads wait where it is reached. 64 MiB at 8 KiB a page.
  int log_pages = 8'192;
  reply_bounds replies = {};
  // False: texts of runs are left out; those that were kept before can still be read.
  bool trace_texts = true;
};

// Asked before every statement (its SQL text; "commit" too): true makes it fail as an I/O error would. Called
// on the store's threads.
using fault_hook = std::function<bool(std::string_view sql)>;

// Opens, checks and brings the schema up to date. Refuses, with a message for an operator, a file that is no
// database of ours, one that a newer version has written, and one whose small tables fail a quick check.
// `seal` may be null: then nothing that needs sealing is kept.
std::expected<std::unique_ptr<stores>, std::string> open(options where, std::shared_ptr<const sealer> seal,
                                                         fault_hook fault_for_test = {});

}  // namespace tidegate::storage::sqlite
