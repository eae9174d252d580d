// ai:skill:feedback (TRC-6).
#pragma once

#include <vector>

#include "gateway/core.h"
#include "session/channels.h"
#include "storage/trace_store.h"

namespace tidegate::session {

class feedback_channels {
 public:
  // Both must outlive it.
  feedback_channels(gateway::core& shared, storage::trace_store& traces) : core_{shared}, traces_{traces} {}
  std::vector<binding> bindings();

 private:
  runtime::task<channel_reply> feedback(json::value request, request_context& context);
  // Whether this key may know of the run: its project is granted, or it has none.
  runtime::task<storage::result<bool>> may_know(std::string run_id, request_context& context);
  foundation::failure told(const storage::store_failure& why, const storage::feedback_record& given,
                           const request_context& context) const;

  gateway::core& core_;
  storage::trace_store& traces_;
};

}  // namespace tidegate::session
