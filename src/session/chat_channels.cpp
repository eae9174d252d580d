#include "session/chat_channels.h"

#include <optional>
#include <string>
#include <utility>

namespace tidegate::session {

using runtime::task;

namespace {

std::optional<std::string> text_at(json::value request, std::string_view name) {
  const auto given = request.find(name);
  return given ? given->as_string() : std::nullopt;
}

std::int64_t ms_of(foundation::wall_time at) { return at.time_since_epoch().count(); }

void write_message(json::writer& w, const storage::chat_message& m) {
  w.begin_object().member("messageId", m.id).member("projectId", m.project_id);
  w.member("sessionId", m.session_id).member("role", storage::name_of(m.role)).member("content", m.content);
  if (m.skill_id) w.member("skillId", *m.skill_id);
  w.member("timestamp", ms_of(m.timestamp)).member("traceId", m.trace_id).end_object();
}

void write_session(json::writer& w, const storage::chat_session& s) {
  w.begin_object().member("sessionId", s.id).member("projectId", s.project_id).member("title", s.title);
  w.member("archived", s.archived).member("createdAt", ms_of(s.created_at));
  w.member("updatedAt", ms_of(s.updated_at)).end_object();
}

}  // namespace

std::vector<binding> chat_channels::bindings() {
  return {{"ai:chat:send", [this](json::value r, request_context& c) { return send(r, c); }},
          {"ai:chat:list", [this](json::value r, request_context& c) { return list(r, c); }},
          {"ai:chat:clear", [this](json::value r, request_context& c) { return clear(r, c); }},
          {"ai:chat:sessions", [this](json::value r, request_context& c) { return sessions(r, c); }},
          {"ai:chatsession:archive", [this](json::value r, request_context& c) { return archive(r, c); }},
          {"ai:chatsession:delete", [this](json::value r, request_context& c) { return erase(r, c); }}};
}

task<channel_reply> chat_channels::send(json::value request, request_context& context) {
  const auto fresh = request.find("newSession");
  const auto sent = co_await stories_.send(
      context.services, context.who, request.string_or("projectId", ""), text_at(request, "sessionId"),
      fresh && fresh->as_bool().value_or(false), request.string_or("message", ""));
  if (!sent) co_return std::unexpected{sent.error()};
  std::string reply;
  json::writer w{reply};
  w.begin_object().member("accepted", true).member("messageId", sent->message);
  w.member("sessionId", sent->session).member("echoed", sent->echoed).end_object();
  co_return reply;
}

task<channel_reply> chat_channels::list(json::value request, request_context& context) {
  const auto messages = co_await stories_.list(
      context.services, context.who, request.string_or("projectId", ""), text_at(request, "sessionId"));
  if (!messages) co_return std::unexpected{messages.error()};
  std::string reply;
  json::writer w{reply};
  w.begin_object().key("items").begin_array();
  for (const storage::chat_message& m : *messages) write_message(w, m);
  w.end_array().end_object();
  co_return reply;
}

task<channel_reply> chat_channels::clear(json::value request, request_context& context) {
  const auto removed = co_await stories_.clear(
      context.services, context.who, request.string_or("projectId", ""), text_at(request, "sessionId"));
  if (!removed) co_return std::unexpected{removed.error()};
  std::string reply;
  json::writer w{reply};
  w.begin_object().member("cleared", true).member("removed", static_cast<std::int64_t>(*removed));
  w.end_object();
  co_return reply;
}

task<channel_reply> chat_channels::sessions(json::value request, request_context& context) {
  const auto found = co_await stories_.sessions(
      context.services, context.who, request.string_or("projectId", ""), request.string_or("query", ""));
  if (!found) co_return std::unexpected{found.error()};
  std::string reply;
  json::writer w{reply};
  w.begin_object().key("sessions").begin_array();
  for (const storage::chat_session& s : *found) write_session(w, s);
  w.end_array().end_object();
  co_return reply;
}

task<channel_reply> chat_channels::archive(json::value request, request_context& context) {
  const auto done = co_await stories_.archive(
      context.services, context.who, request.string_or("projectId", ""), request.string_or("sessionId", ""));
  if (!done) co_return std::unexpected{done.error()};
  co_return R"({"archived":true})";
}

task<channel_reply> chat_channels::erase(json::value request, request_context& context) {
  const auto done = co_await stories_.erase(context.services, context.who, request.string_or("projectId", ""),
                                            request.string_or("sessionId", ""));
  if (!done) co_return std::unexpected{done.error()};
  co_return R"({"deleted":true})";
}

}  // namespace tidegate::session
