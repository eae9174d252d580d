#include "session/chats.h"

#include <algorithm>
#include <array>
#include <utility>

#include "foundation/ids.h"
#include "foundation/text.h"
#include "gateway/store_wait.h"
#include "session/channels.h"

namespace tidegate::session {
namespace {

using foundation::error_code;
using foundation::failure;
using storage::chat_refusal;

failure failed(error_code code, std::string message, std::string details = {}) {
  return refusal(code, std::move(message), std::move(details)).error();
}

// Why `who` may not touch the project, or nothing.
std::optional<failure> barred(const policy::principal& who, std::string_view project) {
  if (trim_text(project).empty()) return failed(error_code::invalid_argument, "projectId is missing");
  if (!policy::may_use_project(who, project))
    return failed(error_code::forbidden, "this client key may not use the project");
  return std::nullopt;
}

std::string make_id(gateway::loop_services& services) {
  return foundation::make_run_id(services.loop.wall(), services.random);
}

// White space beyond ASCII: White_Space of Unicode, and the byte order mark.
constexpr std::array<std::string_view, 21> wide_blanks{
    "\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
    "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
    "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff", "\v"};

std::size_t blank_at_front(std::string_view text) {
  if (text.empty()) return 0;
  if (std::string_view{" \t\n\r\f"}.contains(text.front())) return 1;
  for (const std::string_view blank : wide_blanks) {
    if (text.starts_with(blank)) return blank.size();
  }
  return 0;
}

std::size_t blank_at_end(std::string_view text) {
  if (text.empty()) return 0;
  if (std::string_view{" \t\n\r\f"}.contains(text.back())) return 1;
  for (const std::string_view blank : wide_blanks) {
    if (text.ends_with(blank)) return blank.size();
  }
  return 0;
}

}  // namespace

std::string_view trim_text(std::string_view text) {
  while (const std::size_t blank = blank_at_front(text)) text.remove_prefix(blank);
  while (const std::size_t blank = blank_at_end(text)) text.remove_suffix(blank);
  return text;
}

chat_places& chat_places::operator=(chat_places&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  returns_ = std::exchange(other.returns_, nullptr);
  project_ = std::move(other.project_);
  session_ = std::move(other.session_);
  message_ = std::move(other.message_);
  places_ = other.places_;
  return *this;
}

void chat_places::give_back() {
  if (const auto to = std::exchange(returns_, nullptr)) to->give_back(project_, session_, places_);
}

failure chats::store_fault(const storage::store_failure& why) const {
  log_.at(observe::level::warn, "chat_store_failed").field("message", why.message);
  return failure_of(why);
}

failure chats::refused(chat_refusal why) const {
  switch (why) {
    case chat_refusal::unknown_session:
      break;
    case chat_refusal::archived:
      return failed(
          error_code::conflict,
          "the chat session is archived: it can be read, not written; send without sessionId to begin "
          "a new one",
          R"({"reason":"archived"})");
    case chat_refusal::full:
      return failed(
          error_code::conflict,
          "the chat session is full; archive it (ai:chatsession:archive) or send with "
          "newSession:true to go on in a new one",
          R"({"reason":"capacity","hint":"archive","capacity":)" + std::to_string(capacity()) + "}");
    case chat_refusal::too_many_sessions:
      return failed(
          error_code::conflict,
          "the project has as many chat sessions as it may have; delete some (ai:chatsession:delete)",
          R"({"reason":"sessions","hint":"delete","limit":)" + std::to_string(storage::chat_sessions_max) +
              "}");
  }
  return failed(error_code::not_found, "there is no such chat session in the project");
}

runtime::task<outcome<chats::sent>> chats::send(gateway::loop_services& services,
                                                const policy::principal& who, std::string project,
                                                std::optional<std::string> session, bool new_session,
                                                std::string message) {
  if (auto why = barred(who, project)) co_return std::unexpected{std::move(*why)};
  const std::string_view text = trim_text(message);
  if (text.empty()) co_return refusal(error_code::invalid_argument, "message is blank");
  if (session && new_session) {
    co_return refusal(error_code::invalid_argument, "sessionId and newSession:true exclude each other");
  }
  sent done{{}, make_id(services), std::string{text}};
  storage::chat_send order;
  order.project_id = std::move(project);
  order.session_id = std::move(session);
  order.new_session = new_session;
  order.fresh_session_id = make_id(services);
  order.message_id = done.message;
  order.content = done.echoed;
  order.at = services.loop.wall();
  order.capacity = capacity();
  returns_->retry();
  gateway::store_wait<storage::chat_result<storage::chat_sent>> wait{services.loop};
  store_.send(std::move(order), wait.answer());
  auto given = co_await wait;
  if (!given) co_return std::unexpected{store_fault(given.error())};
  if (!*given) co_return std::unexpected{refused(given->error())};
  done.session = std::move((*given)->session_id);
  co_return done;
}

runtime::task<outcome<std::vector<storage::chat_message>>> chats::list(gateway::loop_services& services,
                                                                       const policy::principal& who,
                                                                       std::string project,
                                                                       std::optional<std::string> session) {
  if (auto why = barred(who, project)) co_return std::unexpected{std::move(*why)};
  gateway::store_wait<storage::chat_result<std::vector<storage::chat_message>>> wait{services.loop};
  store_.list(std::move(project), std::move(session), wait.answer());
  auto given = co_await wait;
  if (!given) co_return std::unexpected{store_fault(given.error())};
  if (!*given) co_return std::unexpected{refused(given->error())};
  co_return std::move(**given);
}

runtime::task<outcome<std::size_t>> chats::clear(gateway::loop_services& services,
                                                 const policy::principal& who, std::string project,
                                                 std::optional<std::string> session) {
  if (auto why = barred(who, project)) co_return std::unexpected{std::move(*why)};
  gateway::store_wait<storage::chat_result<std::size_t>> wait{services.loop};
  store_.clear(std::move(project), std::move(session), services.loop.wall(), wait.answer());
  auto given = co_await wait;
  if (!given) co_return std::unexpected{store_fault(given.error())};
  if (!*given) co_return std::unexpected{refused(given->error())};
  co_return **given;
}

runtime::task<outcome<std::vector<storage::chat_session>>> chats::sessions(gateway::loop_services& services,
                                                                           const policy::principal& who,
                                                                           std::string project,
                                                                           std::string query) {
  if (auto why = barred(who, project)) co_return std::unexpected{std::move(*why)};
  gateway::store_wait<std::vector<storage::chat_session>> wait{services.loop};
  store_.sessions(std::move(project), std::move(query), wait.answer());
  auto given = co_await wait;
  if (!given) co_return std::unexpected{store_fault(given.error())};
  co_return std::move(*given);
}

runtime::task<outcome<void>> chats::archive(gateway::loop_services& services, const policy::principal& who,
                                            std::string project, std::string session) {
  if (auto why = barred(who, project)) co_return std::unexpected{std::move(*why)};
  gateway::store_wait<storage::chat_result<void>> wait{services.loop};
  store_.archive(std::move(project), std::move(session), wait.answer());
  auto given = co_await wait;
  if (!given) co_return std::unexpected{store_fault(given.error())};
  if (!*given) co_return std::unexpected{refused(given->error())};
  co_return outcome<void>{};
}

runtime::task<outcome<void>> chats::erase(gateway::loop_services& services, const policy::principal& who,
                                          std::string project, std::string session) {
  if (auto why = barred(who, project)) co_return std::unexpected{std::move(*why)};
  gateway::store_wait<storage::chat_result<void>> wait{services.loop};
  store_.erase(std::move(project), std::move(session), wait.answer());
  auto given = co_await wait;
  if (!given) co_return std::unexpected{store_fault(given.error())};
  if (!*given) co_return std::unexpected{refused(given->error())};
  co_return outcome<void>{};
}

runtime::task<outcome<chat_places>> chats::take_places(gateway::loop_services& services,
                                                       const policy::principal& who, asked_places wanted) {
  if (wanted.session && trim_text(*wanted.session).empty()) wanted.session.reset();
  if (trim_text(wanted.project).empty() && wanted.session) {
    gateway::store_wait<std::optional<std::string>> wait{services.loop};
    store_.project_of(*wanted.session, wait.answer());
    auto project = co_await wait;
    if (!project) co_return std::unexpected{store_fault(project.error())};
    // Whoever may not use the project is not told that the session is there.
    if (!*project || !policy::may_use_project(who, **project))
      co_return std::unexpected{refused(chat_refusal::unknown_session)};
    wanted.project = std::move(**project);
  }
  if (auto why = barred(who, wanted.project)) co_return std::unexpected{std::move(*why)};
  storage::chat_claim claim;
  claim.project_id = wanted.project;
  claim.session_id = std::move(wanted.session);
  claim.message_id = wanted.message;
  claim.fresh_session_id = make_id(services);
  claim.places = wanted.message ? 1 : 2;
  claim.capacity = capacity();
  chat_places places;
  places.places_ = claim.places;
  places.project_ = std::move(wanted.project);
  places.message_ = std::move(wanted.message);
  returns_->retry();
  gateway::store_wait<storage::chat_result<storage::chat_claimed>> wait{services.loop};
  store_.take_places(std::move(claim), wait.answer());
  auto given = co_await wait;
  if (!given) co_return std::unexpected{store_fault(given.error())};
  if (!*given) co_return std::unexpected{refused(given->error())};
  places.session_ = std::move((*given)->session_id);
  places.returns_ = returns_;
  co_return places;
}

runtime::task<outcome<std::vector<storage::chat_message>>> chats::history(gateway::loop_services& services,
                                                                          const chat_places& of,
                                                                          std::size_t bytes_max) {
  gateway::store_wait<std::vector<storage::chat_message>> wait{services.loop};
  store_.history(of.project_, of.session_, of.message_, bytes_max, wait.answer());
  auto given = co_await wait;
  if (!given) co_return std::unexpected{store_fault(given.error())};
  co_return std::move(*given);
}

runtime::task<outcome<std::optional<std::string>>> chats::project_of(gateway::loop_services& services,
                                                                     std::string session) {
  gateway::store_wait<std::optional<std::string>> wait{services.loop};
  store_.project_of(std::move(session), wait.answer());
  auto given = co_await wait;
  if (!given) co_return std::unexpected{store_fault(given.error())};
  co_return std::move(*given);
}

runtime::task<outcome<chat_turn_ids>> chats::add_turn(gateway::loop_services& services, chat_places& places,
                                                      std::string user_text, std::string assistant_text,
                                                      std::string skill_id, std::string trace_id) {
  chat_turn_ids ids{places.project_, places.session_, std::nullopt, make_id(services), false};
  storage::chat_turn turn;
  turn.project_id = places.project_;
  turn.session_id = places.session_;
  if (!places.message_) {
    turn.user_message_id = ids.user_message = make_id(services);
    turn.user_content = std::move(user_text);
  }
  turn.assistant_message_id = ids.assistant_message;
  turn.assistant_content = std::move(assistant_text);
  turn.skill_id = std::move(skill_id);
  turn.trace_id = std::move(trace_id);
  turn.at = services.loop.wall();
  turn.places = places.places_;
  gateway::store_wait<storage::chat_result<storage::chat_turn_added>> wait{services.loop};
  store_.add_turn(std::move(turn), wait.answer());
  auto given = co_await wait;
  if (!given) co_return std::unexpected{store_fault(given.error())};
  if (!*given) co_return std::unexpected{refused(given->error())};
  places.returns_ = nullptr;  // the turn has taken them
  ids.session_made = (*given)->session_made;
  co_return ids;
}

runtime::task<void> chats::take_back(gateway::loop_services& services, chat_turn_ids turn, std::string run_id,
                                     std::string trace_id) {
  storage::chat_turn_removal removal;
  removal.project_id = std::move(turn.project);
  removal.session_id = std::move(turn.session);
  if (turn.user_message) removal.message_ids.push_back(std::move(*turn.user_message));
  removal.message_ids.push_back(std::move(turn.assistant_message));
  removal.session_too = turn.session_made;
  gateway::store_wait<void> wait{services.loop};
  store_.remove_turn(std::move(removal), wait.answer());
  const auto given = co_await wait;
  if (given) co_return;
  log_.at(observe::level::error, "ai_write_transaction_rollback_failed")
      .field("runId", run_id)
      .field("traceId", trace_id)
      .field("rollbackIndex", 0)
      .field("message", given.error().message);
}

}  // namespace tidegate::session
