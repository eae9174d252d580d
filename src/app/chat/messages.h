// The session surface as the chat client uses it: bodies of its requests, meaning of replies and pushes
// (requirements sections 4 and 5). Pure: text in, values out. Texts are as they came; who shows them makes
// them plain first.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/chat/text.h"
#include "protocol/json/json.h"

namespace tidegate::app::chat {

// Where a conversation belongs and what is asked.
struct question {
  std::string text{};
  std::string project{};
  std::string session{};     // blank: the project's current one
  std::string message_id{};  // of the question, where it was sent already
  std::string model{};       // blank: the gateway's choice
  std::string memory{};      // what the model should know besides the history
  std::string request_id{};
  int candidates = 1;
};

std::string run_body(const question& asked);
std::string cancel_body(std::string_view execution_id);
std::string send_body(const question& asked);  // in a new session
// {"projectId","sessionId"}; without a session, {"projectId"}.
std::string session_body(std::string_view project, std::string_view session);
std::string feedback_body(std::string_view run_id, std::string_view action);
std::string usage_body(int limit);  // the newest requests

// Why something came to nothing.
struct problem {
  std::string code{};
  std::string message{};
  std::string trace_id{};
  std::string reason{};  // details.reason
  std::string source{};  // details.source
  bool retryable = false;
  std::optional<std::int64_t> retry_after_ms{};
};

// An error object of an envelope, a done push or a failed candidate.
problem read_problem(protocol::json::value error);
// No gateway, or one that cannot be understood.
problem transport_problem(std::string message);

// The data of an envelope; the problem where it is none or says so. `text` must outlive the value.
std::expected<protocol::json::value, problem> read_envelope(std::string_view text);

enum class push_kind : std::uint8_t { other, queue, chunk, reset, failover, done };

struct push {
  push_kind kind = push_kind::other;
  std::string execution_id;
  std::string text;    // chunk: the piece; done: all of the output
  std::string status;  // queue
  std::int64_t position = 0;
  std::int64_t queued = 0;
  std::string from;  // failover
  std::string to;
  std::string reason;
  // done
  std::string terminal;
  std::string finish_reason;
  std::string model;
  std::string degraded;  // the message of a degradation, else blank
  std::optional<problem> error;
  std::optional<usage> used;
};

// One server-sent event; `other` for what the client has no use for or cannot read.
push read_push(std::string_view name, std::string_view data);

struct candidate {
  std::string id;
  std::string run_id;
  std::string text;
};
struct failed_candidate {
  std::string id;
  problem why;
};

// A reply that came whole.
struct answer {
  std::string run_id;
  std::string text;
  std::string model;
  std::string finish_reason;
  std::string degraded;
  std::string failover_from;  // blank: none
  std::string failover_to;
  std::string failover_reason;
  std::vector<candidate> candidates;
  std::vector<failed_candidate> failed;
  std::optional<usage> used;
};
answer read_answer(protocol::json::value data);

struct session_row {
  std::string id;
  std::string title;
  bool archived = false;
  std::int64_t created_at = 0;
};
std::vector<session_row> read_sessions(protocol::json::value data);
// CHAT-1: the last created that is not archived; nothing where there is none.
std::optional<session_row> current_session(const std::vector<session_row>& rows);

struct message {
  std::string role;
  std::string text;
};
std::vector<message> read_messages(protocol::json::value data);

// What one request cost, from the list of usage; nothing where it is not listed or has no price.
std::optional<double> cost_of(protocol::json::value usage_list, std::string_view request_id);

}  // namespace tidegate::app::chat
