#include "storage/memory/memory_chats.h"

#include <algorithm>
#include <tuple>

namespace tidegate::storage::memory {

std::int64_t memory_chats::held_session::bytes() const {
  std::size_t sum = 0;
  for (const chat_message& m : messages) sum += m.content.size();
  return static_cast<std::int64_t>(sum);
}

memory_chats::held_session* memory_chats::find(const std::string& project, const std::string& id) {
  const auto at = sessions_.find(id);
  return at != sessions_.end() && at->second.facts.project_id == project ? &at->second : nullptr;
}

const memory_chats::held_places* memory_chats::unborn_of(const std::string& project, std::string* id) const {
  for (const auto& [session, held] : places_) {
    if (held.project_id != project || !held.unborn) continue;
    *id = session;
    return &held;
  }
  return nullptr;
}

memory_chats::destination memory_chats::current(const std::string& project, const std::string& fresh) {
  if (const auto at = current_.find(project); at != current_.end()) {
    return {find(project, at->second), at->second};
  }
  destination to{nullptr, fresh};
  unborn_of(project, &to.id);
  return to;
}

std::optional<chat_refusal> memory_chats::refusal_of(const destination& to, const std::string& project,
                                                     std::int64_t wanted, std::int64_t capacity) const {
  const auto held = places_.find(to.id);
  std::int64_t taken = held != places_.end() ? held->second.places : 0;
  if (to.found != nullptr) {
    if (to.found->facts.archived) return chat_refusal::archived;
    if (to.found->bytes() >= static_cast<std::int64_t>(chat_session_bytes_max)) return chat_refusal::full;
    taken += static_cast<std::int64_t>(to.found->messages.size());
  }
  if (taken + wanted > capacity) return chat_refusal::full;
  const auto of_project =
      std::ranges::count_if(sessions_, [&](const auto& s) { return s.second.facts.project_id == project; });
  if (to.found == nullptr && of_project >= static_cast<std::ptrdiff_t>(chat_sessions_max)) {
    return chat_refusal::too_many_sessions;
  }
  return std::nullopt;
}

memory_chats::held_session& memory_chats::make(const std::string& project, const std::string& id,
                                               const std::string& first_message, wall_time at) {
  held_session& made = sessions_[id];
  made.facts = {id, project, std::string{chat_title(first_message)}, false, at, at, 0};
  made.order = ++made_;
  current_[project] = id;
  if (const auto held = places_.find(id); held != places_.end()) held->second.unborn = false;
  return made;
}

void memory_chats::append(held_session& to, chat_message message) {
  if (!to.messages.empty()) message.timestamp = std::max(message.timestamp, to.messages.back().timestamp);
  to.facts.updated_at = std::max(to.facts.updated_at, message.timestamp);
  to.messages.push_back(std::move(message));
}

void memory_chats::give_back(const std::string& project, const std::string& id, std::int64_t places) {
  const auto held = places_.find(id);
  if (held == places_.end() || held->second.project_id != project) return;
  held->second.places -= places;
  if (held->second.places <= 0) places_.erase(held);
}

chat_result<chat_sent> memory_chats::do_send(chat_send& m) {
  destination to{nullptr, m.fresh_session_id};
  if (m.session_id) {
    to = {find(m.project_id, *m.session_id), *m.session_id};
    if (to.found == nullptr) return std::unexpected{chat_refusal::unknown_session};
  } else if (!m.new_session) {
    to = current(m.project_id, m.fresh_session_id);
  }
  if (const auto why = refusal_of(to, m.project_id, 1, m.capacity)) return std::unexpected{*why};
  if (to.found == nullptr) to.found = &make(m.project_id, to.id, m.content, m.at);
  append(*to.found, {m.message_id, m.project_id, to.id, chat_role::user, std::move(m.content), std::nullopt,
                     m.at, m.trace_id});
  return chat_sent{to.id};
}

chat_result<memory_chats::destination> memory_chats::destination_of(const chat_claim& c) {
  std::optional<std::string> session = c.session_id;
  if (c.message_id) {
    const auto of = std::ranges::find_if(sessions_, [&](const auto& s) {
      return s.second.facts.project_id == c.project_id &&
             std::ranges::any_of(s.second.messages, [&](const chat_message& m) {
               return m.id == *c.message_id && m.role == chat_role::user;
             });
    });
    if (of == sessions_.end() || (session && *session != of->first)) {
      return std::unexpected{chat_refusal::unknown_session};
    }
    session = of->first;
  }
  if (!session) return current(c.project_id, c.fresh_session_id);
  destination to{find(c.project_id, *session), *session};
  if (to.found == nullptr) return std::unexpected{chat_refusal::unknown_session};
  return to;
}

chat_result<chat_claimed> memory_chats::do_claim(const chat_claim& c) {
  auto to = destination_of(c);
  if (!to) return std::unexpected{to.error()};
  if (const auto why = refusal_of(*to, c.project_id, c.places, c.capacity)) return std::unexpected{*why};
  auto [held, fresh] = places_.try_emplace(to->id, held_places{c.project_id, 0, to->found == nullptr});
  held->second.places += c.places;
  return chat_claimed{to->id};
}

chat_result<chat_turn_added> memory_chats::do_add(chat_turn& t) {
  held_session* session = find(t.project_id, t.session_id);
  chat_turn_added added;
  if (session == nullptr) {
    std::string unborn;
    if (unborn_of(t.project_id, &unborn) == nullptr || unborn != t.session_id || !t.user_message_id) {
      return std::unexpected{chat_refusal::unknown_session};
    }
    session = &make(t.project_id, t.session_id, t.user_content, t.at);
    added.session_made = true;
  } else if (session->facts.archived) {
    return std::unexpected{chat_refusal::archived};
  }
  if (t.user_message_id) {
    append(*session, {*t.user_message_id, t.project_id, t.session_id, chat_role::user,
                      std::move(t.user_content), t.skill_id, t.at, t.trace_id});
  }
  append(*session, {t.assistant_message_id, t.project_id, t.session_id, chat_role::assistant,
                    std::move(t.assistant_content), t.skill_id, t.at, t.trace_id});
  give_back(t.project_id, t.session_id, t.places);
  return added;
}

void memory_chats::do_remove(const chat_turn_removal& t) {
  held_session* const session = find(t.project_id, t.session_id);
  if (session == nullptr) return;
  std::erase_if(session->messages,
                [&](const chat_message& m) { return std::ranges::count(t.message_ids, m.id) > 0; });
  if (t.session_too && session->messages.empty()) {
    std::erase_if(current_, [&](const auto& of) { return of.second == t.session_id; });
    sessions_.erase(t.session_id);
    return;
  }
  session->facts.updated_at =
      session->messages.empty() ? session->facts.created_at : session->messages.back().timestamp;
}

void memory_chats::send(chat_send message, done<chat_result<chat_sent>> answer) {
  shared_.call<chat_result<chat_sent>>(
      [&]() -> result<chat_result<chat_sent>> {
        if (message.content.size() > chat_content_max) {
          return fail(store_problem::too_large, "the message is too long");
        }
        return do_send(message);
      },
      answer);
}

void memory_chats::take_places(chat_claim claim, done<chat_result<chat_claimed>> answer) {
  shared_.call<chat_result<chat_claimed>>(
      [&]() -> result<chat_result<chat_claimed>> { return do_claim(claim); }, answer);
}

void memory_chats::return_places(std::string project_id, std::string session_id, std::int64_t places,
                                 done<void> answer) {
  shared_.call<void>(
      [&]() -> result<void> {
        give_back(project_id, session_id, places);
        return {};
      },
      answer);
}

void memory_chats::add_turn(chat_turn turn, done<chat_result<chat_turn_added>> answer) {
  shared_.call<chat_result<chat_turn_added>>(
      [&]() -> result<chat_result<chat_turn_added>> {
        if (std::max(turn.user_content.size(), turn.assistant_content.size()) > chat_content_max) {
          return fail(store_problem::too_large, "the message is too long");
        }
        return do_add(turn);
      },
      answer);
}

void memory_chats::remove_turn(chat_turn_removal turn, done<void> answer) {
  shared_.call<void>(
      [&]() -> result<void> {
        do_remove(turn);
        return {};
      },
      answer);
}

void memory_chats::list(std::string project_id, std::optional<std::string> session_id,
                        done<chat_result<std::vector<chat_message>>> answer) {
  using messages = std::vector<chat_message>;
  shared_.call<chat_result<messages>>(
      [&]() -> result<chat_result<messages>> {
        const auto wanted =
            session_id ? destination{find(project_id, *session_id), *session_id} : current(project_id, {});
        if (wanted.found != nullptr) return wanted.found->messages;
        if (!session_id) return messages{};
        return chat_result<messages>{std::unexpected{chat_refusal::unknown_session}};
      },
      answer);
}

void memory_chats::history(std::string project_id, std::string session_id, std::optional<std::string> before,
                           std::size_t bytes_max, done<std::vector<chat_message>> answer) {
  shared_.call<std::vector<chat_message>>(
      [&]() -> result<std::vector<chat_message>> {
        std::vector<chat_message> found;
        const held_session* const session = find(project_id, session_id);
        if (session == nullptr) return found;
        found = session->messages;
        if (before) {
          const auto end = std::ranges::find(found, *before, &chat_message::id);
          found.erase(end, found.end());
        }
        std::size_t bytes = 0;
        const auto oldest = std::find_if(found.rbegin(), found.rend(), [&](const chat_message& m) {
          bytes += m.content.size();
          return bytes_max > 0 && bytes > bytes_max;
        });
        found.erase(found.begin(), oldest.base());
        return found;
      },
      answer);
}

void memory_chats::clear(std::string project_id, std::optional<std::string> session_id, wall_time at,
                         done<chat_result<std::size_t>> answer) {
  shared_.call<chat_result<std::size_t>>(
      [&]() -> result<chat_result<std::size_t>> {
        if (session_id && find(project_id, *session_id) == nullptr) {
          return chat_result<std::size_t>{std::unexpected{chat_refusal::unknown_session}};
        }
        std::size_t removed = 0;
        for (auto& [id, session] : sessions_) {
          if (session.facts.project_id != project_id || (session_id && id != *session_id)) continue;
          if (session.messages.empty()) continue;
          removed += session.messages.size();
          session.messages.clear();
          session.facts.updated_at = std::max(session.facts.updated_at, at);
        }
        return removed;
      },
      answer);
}

void memory_chats::sessions(std::string project_id, std::string query,
                            done<std::vector<chat_session>> answer) {
  shared_.call<std::vector<chat_session>>(
      [&]() -> result<std::vector<chat_session>> {
        std::vector<const held_session*> fitting;
        for (const auto& [id, session] : sessions_) {
          const bool fits = session.facts.title.contains(query) ||
                            std::ranges::any_of(session.messages, [&](const chat_message& m) {
                              return m.content.contains(query);
                            });
          if (session.facts.project_id == project_id && fits) fitting.push_back(&session);
        }
        std::ranges::sort(fitting, [](const held_session* a, const held_session* b) {
          return std::tie(b->facts.updated_at, b->order) < std::tie(a->facts.updated_at, a->order);
        });
        std::vector<chat_session> found;
        for (const held_session* session : fitting) {
          found.push_back(session->facts);
          found.back().messages = static_cast<std::int64_t>(session->messages.size());
        }
        return found;
      },
      answer);
}

void memory_chats::archive(std::string project_id, std::string session_id, done<chat_result<void>> answer) {
  shared_.call<chat_result<void>>(
      [&]() -> result<chat_result<void>> {
        held_session* const session = find(project_id, session_id);
        if (session == nullptr) return chat_result<void>{std::unexpected{chat_refusal::unknown_session}};
        session->facts.archived = true;
        const auto at = current_.find(project_id);
        if (at != current_.end() && at->second == session_id) current_.erase(at);
        return {};
      },
      answer);
}

void memory_chats::erase(std::string project_id, std::string session_id, done<chat_result<void>> answer) {
  shared_.call<chat_result<void>>(
      [&]() -> result<chat_result<void>> {
        if (find(project_id, session_id) == nullptr) {
          if (deleted_.contains({project_id, session_id})) return {};
          return chat_result<void>{std::unexpected{chat_refusal::unknown_session}};
        }
        std::erase_if(current_, [&](const auto& of) { return of.second == session_id; });
        places_.erase(session_id);
        sessions_.erase(session_id);
        deleted_.emplace(std::move(project_id), std::move(session_id));
        return {};
      },
      answer);
}

void memory_chats::project_of(std::string session_id, done<std::optional<std::string>> answer) {
  shared_.call<std::optional<std::string>>(
      [&]() -> result<std::optional<std::string>> {
        const auto at = sessions_.find(session_id);
        return at == sessions_.end() ? std::nullopt : std::optional{at->second.facts.project_id};
      },
      answer);
}

}  // namespace tidegate::storage::memory
