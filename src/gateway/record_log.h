// Where a run's records go before anything that must not happen unrecorded (TRC-2, DEG-2): the port of one
// loop. journal_link.h is the real one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "observe/log.h"
#include "protocol/json/json.h"
#include "runtime/async/task.h"

namespace tidegate::gateway {

// What waits for a record. note: nothing. start: the first byte to a provider. end: the last byte to the
// caller. Each waits for the durability that `journal.durability` names for it.
enum class stage : std::uint8_t { note, start, end };

class record_log {
 public:
  virtual ~record_log() = default;
  // One JSON object whose first member is "event". Records of one run stay in order.
  virtual void append(stage s, std::string_view payload) = 0;
  // Until all that was appended so far is as durable as the stage asks for; `note` only hands it over. False:
  // the journal has stopped, nothing is on the record any more.
  virtual runtime::task<bool> durable(stage s) = 0;
  virtual bool stopped() const noexcept = 0;

  // An event of section 4 that belongs into journal and log: written once, used twice. `members` adds to the
  // open object.
  template <class Members>
  void event(const observe::logger& log, observe::level l, std::string_view name, stage s,
             Members&& members) {
    text_.clear();
    protocol::json::writer w{text_};
    w.begin_object().member("event", name);
    const std::size_t behind_name = text_.size();
    members(w);
    w.end_object();
    append(s, text_);
    const std::size_t from = std::min(behind_name + 1, text_.size() - 1);
    log.at(l, name).members(std::string_view{text_}.substr(from, text_.size() - 1 - from));
  }

 private:
  std::string text_;
};

}  // namespace tidegate::gateway
