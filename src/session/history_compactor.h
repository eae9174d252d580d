// Makes a chat's history fit its budget with summaries of what would else be dropped (CHAT-8).
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/error.h"
#include "foundation/time.h"
#include "policy/history.h"
#include "runtime/async/cancel.h"
#include "runtime/async/task.h"
#include "runtime/loop.h"
#include "session/summary_cache.h"

namespace tidegate::session {

struct chat_line {
  policy::chat_role role = policy::chat_role::user;
  std::string text;

  friend bool operator==(const chat_line&, const chat_line&) = default;
};

// One metered call of a model, as the run's own caller pays for it.
class summarizer {
 public:
  virtual ~summarizer() = default;
  // Of `text`, in at most about `tokens_max` tokens; with summary_instruction() as its system text.
  virtual runtime::task<std::expected<std::string, foundation::failure>> summarize(
      std::string text, std::int64_t tokens_max) = 0;
};

std::string_view summary_instruction();

struct compaction_bounds {
  // New summaries for one run; each costs its caller a call before the run itself.
  std::size_t asked_max = 4;
  // Of one summary.
  std::int64_t tokens_max = 1'024;
};

// The time of the run that it is done for (TMO-1).
struct compaction_time {
  runtime::cancel_source& gone;
  foundation::instant deadline;
};

// What is sent between `system` and `current`: CHAT-7's choice, made after the replacing. A summary that
// fails, is blank or is too long is cut or done without: its message may then be dropped as if there were no
// compaction. So may what the run has no time for: nothing is asked or waited for beyond it, also where
// another run does the work. All references outlive the task; `summaries` is shared by all loops.
runtime::task<std::vector<chat_line>> compact_history(runtime::loop& loop, summary_cache& summaries,
                                                      summarizer& by, std::string system,
                                                      std::vector<chat_line> history, std::string current,
                                                      std::int64_t budget, compaction_time within,
                                                      compaction_bounds bounds = {});

}  // namespace tidegate::session
