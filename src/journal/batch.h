// Entries on their way into the journal, already laid out as records.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "foundation/time.h"

namespace tidegate::journal {

// One contiguous, reusable buffer. Belongs to one thread at a time.
class batch {
 public:
  // `payload` is one JSON object whose first member is "event", of at most payload_max bytes. A larger one is
  // not taken: the batch is then spoilt and the journal refuses all of it.
  bool add(foundation::wall_time time, std::string_view payload);
  std::size_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  // Bytes these records take in the journal.
  std::size_t size() const { return bytes_.size(); }
  bool spoilt() const { return spoilt_; }
  // Keeps the buffer.
  void clear();

  // For the writer, which seals the records in place.
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
  std::size_t count_ = 0;
  bool spoilt_ = false;
};

}  // namespace tidegate::journal
