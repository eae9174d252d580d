// The story of chats (CHAT-1 to CHAT-6): sending, reading, archiving, deleting, and what a chat run needs of
// them: places, history, a turn that is stored whole and can be taken back. One instance serves all loops;
// the store orders what they do.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "foundation/error.h"
#include "gateway/exchange.h"
#include "observe/log.h"
#include "policy/access.h"
#include "runtime/async/task.h"
#include "session/place_returns.h"
#include "storage/chat_store.h"

namespace tidegate::session {

template <class T>
using outcome = std::expected<T, foundation::failure>;

// Room that an admitted chat run holds for its messages (CHAT-2). Move-only; gives the room back when it
// dies, unless a turn has used it. Must not outlive the store.
class chat_places {
 public:
  chat_places() = default;
  chat_places(chat_places&& other) noexcept { *this = std::move(other); }
  chat_places& operator=(chat_places&& other) noexcept;
  chat_places(const chat_places&) = delete;
  chat_places& operator=(const chat_places&) = delete;
  ~chat_places() { give_back(); }

  explicit operator bool() const { return returns_ != nullptr; }
  const std::string& project() const { return project_; }
  // Of a project without a current session: the one that the turn will make.
  const std::string& session() const { return session_; }
  const std::optional<std::string>& message() const { return message_; }

 private:
  friend class chats;
  void give_back();
  std::shared_ptr<place_returns> returns_;  // null: holds nothing
  std::string project_;
  std::string session_;
  std::optional<std::string> message_;  // the user message that is answered, sent before
  std::int64_t places_ = 0;
};

// A turn that was stored; what take_back needs.
struct chat_turn_ids {
  std::string project;
  std::string session;
  std::optional<std::string> user_message;  // none where it was sent before
  std::string assistant_message;
  bool session_made = false;
};

class chats {
 public:
  struct sent {
    std::string session;
    std::string message;
    std::string echoed;  // the message as it was stored: trimmed
  };
  struct asked_places {
    std::string project;  // blank: the session's
    std::optional<std::string> session;
    std::optional<std::string> message;
  };

  chats(storage::chat_store& store, observe::logger& log, std::int64_t capacity)
      : store_{store},
        log_{log},
        returns_{std::make_shared<place_returns>(store, log)},
        capacity_{capacity} {}
  // Of messages in one session; holds from the next one on.
  void set_capacity(std::int64_t capacity) noexcept { capacity_.store(capacity, std::memory_order_relaxed); }

  // All of them: blank project INVALID_ARGUMENT, one that is not granted FORBIDDEN, foreign or unknown
  // session NOT_FOUND, no place left or archived CONFLICT, store fault DB_ERROR (CHAT-5).
  runtime::task<outcome<sent>> send(gateway::loop_services& services, const policy::principal& who,
                                    std::string project, std::optional<std::string> session, bool new_session,
                                    std::string message);
  // No session: the current one.
  runtime::task<outcome<std::vector<storage::chat_message>>> list(gateway::loop_services& services,
                                                                  const policy::principal& who,
                                                                  std::string project,
                                                                  std::optional<std::string> session);
  // No session: all of the project's. How many messages went.
  runtime::task<outcome<std::size_t>> clear(gateway::loop_services& services, const policy::principal& who,
                                            std::string project, std::optional<std::string> session);
  runtime::task<outcome<std::vector<storage::chat_session>>> sessions(gateway::loop_services& services,
                                                                      const policy::principal& who,
                                                                      std::string project, std::string query);
  runtime::task<outcome<void>> archive(gateway::loop_services& services, const policy::principal& who,
                                       std::string project, std::string session);
  runtime::task<outcome<void>> erase(gateway::loop_services& services, const policy::principal& who,
                                     std::string project, std::string session);

  // At a chat run's admission: two places, or one where `message` names a user message already sent. A
  // session without a project is looked up, and is unknown to whoever may not use its project. Needs one of
  // project and session.
  runtime::task<outcome<chat_places>> take_places(gateway::loop_services& services,
                                                  const policy::principal& who, asked_places wanted);
  // Whose session it is; nothing for an unknown one. Not to be told to a caller that may not use the project.
  runtime::task<outcome<std::optional<std::string>>> project_of(gateway::loop_services& services,
                                                                std::string session);
  // What was said before, oldest first: the newest messages whose contents together are at most `bytes_max`
  // (0: all). An LLM token is at most four bytes, so four times a token budget loses nothing that fits.
  runtime::task<outcome<std::vector<storage::chat_message>>> history(gateway::loop_services& services,
                                                                     const chat_places& of,
                                                                     std::size_t bytes_max);
  // Both messages or none, before the run's terminal (CHAT-4); uses the places up.
  runtime::task<outcome<chat_turn_ids>> add_turn(gateway::loop_services& services, chat_places& places,
                                                 std::string user_text, std::string assistant_text,
                                                 std::string skill_id, std::string trace_id);
  // After the journal has refused the run's end. A fault is logged (ai_write_transaction_rollback_failed) and
  // passed over.
  runtime::task<void> take_back(gateway::loop_services& services, chat_turn_ids turn, std::string run_id,
                                std::string trace_id);

 private:
  std::int64_t capacity() const noexcept { return capacity_.load(std::memory_order_relaxed); }
  foundation::failure refused(storage::chat_refusal why) const;
  foundation::failure store_fault(const storage::store_failure& why) const;

  storage::chat_store& store_;
  observe::logger& log_;
  const std::shared_ptr<place_returns> returns_;
  std::atomic<std::int64_t> capacity_;
};

// Without white space (Unicode's) at either end.
std::string_view trim_text(std::string_view text);

}  // namespace tidegate::session
