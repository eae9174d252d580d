#include "journal/batch.h"

#include "journal/record.h"

namespace tidegate::journal {

bool batch::add(foundation::wall_time time, std::string_view payload) {
  if (payload.size() > payload_max) {
    spoilt_ = true;
    return false;
  }
  append_unsealed(bytes_, record_type::event, time, payload);
  ++count_;
  return true;
}

void batch::clear() {
  bytes_.clear();
  count_ = 0;
  spoilt_ = false;
}

}  // namespace tidegate::journal
