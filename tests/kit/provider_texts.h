// What well-behaved providers answer, in each dialect: whole replies, and streams as a list of events split
// into preamble, content and end. Written from the vendors' API references; ids carry the caller's tag, so
// that a test can tell whose bytes it sees.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/dialect/canonical.h"
#include "protocol/json/json.h"
#include "protocol/sse/sse.h"

namespace tidegate::kit {

using protocol::dialect::dialect_id;

inline std::string json_string(std::string_view text) {
  std::string out;
  protocol::json::append_quoted(out, text);
  return out;
}

inline std::string sse_event(std::string_view type, std::string_view data) {
  std::string out;
  protocol::sse::append_event(out, type, data);
  return out;
}

// Pieces of six characters, as small models send them.
inline std::vector<std::string> text_pieces(std::string_view text) {
  std::vector<std::string> pieces;
  for (; !text.empty(); text.remove_prefix(std::min<std::size_t>(6, text.size()))) {
    pieces.emplace_back(text.substr(0, 6));
  }
  return pieces;
}

struct stream_text {
  std::vector<std::string> preamble;
  std::vector<std::string> content;
  std::vector<std::string> finish;  // finish reason and what closes the content
  std::vector<std::string> end;     // the dialect's end marker
};

inline std::string whole_text(dialect_id dialect, std::string_view tag, std::string_view text) {
  const std::string t{tag};
  const std::string said = json_string(text);
  switch (dialect) {
    case dialect_id::openai_chat:
      return R"({"id":"chatcmpl-)" + t +
             R"(","object":"chat.completion","created":1700000000,"model":"gpt-5.2",)" +
             R"("choices":[{"index":0,"message":{"role":"assistant","content":)" + said +
             R"(},"finish_reason":"stop"}]})";
    case dialect_id::openai_responses:
      return R"({"id":"resp_)" + t +
             R"(","object":"response","created_at":1700000000,"status":"completed",)" +
             R"("model":"gpt-5.2","output":[{"id":"msg_)" + t +
             R"(","type":"message","role":"assistant","status":"completed",)" +
             R"("content":[{"type":"output_text","text":)" + said + R"(,"annotations":[]}]}]})";
    case dialect_id::anthropic_messages:
      break;
  }
  return R"({"id":"msg_)" + t + R"(","type":"message","role":"assistant","model":"claude-sonnet-4",)" +
         R"("content":[{"type":"text","text":)" + said +
         R"(}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}})";
}

inline stream_text chat_stream(std::string_view tag, std::string_view text) {
  const auto chunk = [&](std::string_view delta, std::string_view finish) {
    return sse_event({}, R"({"id":"chatcmpl-)" + std::string{tag} +
                             R"(","object":"chat.completion.chunk","created":1700000000,"model":"gpt-5.2",)" +
                             R"("choices":[{"index":0,"delta":)" + std::string{delta} +
                             R"(,"finish_reason":)" + std::string{finish} + "}]}");
  };
  stream_text out;
  out.preamble = {chunk(R"({"role":"assistant","content":""})", "null")};
  for (const std::string& piece : text_pieces(text)) {
    out.content.push_back(chunk(R"({"content":)" + json_string(piece) + "}", "null"));
  }
  out.finish = {chunk("{}", R"("stop")")};
  out.end = {sse_event({}, "[DONE]")};
  return out;
}

inline stream_text messages_stream(std::string_view tag, std::string_view text) {
  stream_text out;
  out.preamble = {
      sse_event(
          "message_start",
          R"({"type":"message_start","message":{"id":"msg_)" + std::string{tag} +
              R"(","type":"message","role":"assistant","model":"claude-sonnet-4","content":[],)" +
              R"("stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}})"),
      sse_event("content_block_start",
                R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})"),
      sse_event("ping", R"({"type":"ping"})")};
  for (const std::string& piece : text_pieces(text)) {
    out.content.push_back(
        sse_event("content_block_delta",
                  R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":)" +
                      json_string(piece) + "}}"));
  }
  out.finish = {
      sse_event("content_block_stop", R"({"type":"content_block_stop","index":0})"),
      sse_event("message_delta",
                R"({"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},)"
                R"("usage":{"output_tokens":7}})")};
  out.end = {sse_event("message_stop", R"({"type":"message_stop"})")};
  return out;
}

inline stream_text responses_stream(std::string_view tag, std::string_view text) {
  const std::string t{tag};
  int sequence = 0;
  const auto event = [&](const std::string& type, const std::string& rest) {
    return sse_event(type, R"({"type":")" + type + R"(","sequence_number":)" + std::to_string(sequence++) +
                               ',' + rest + '}');
  };
  const std::string item = R"("item_id":"msg_)" + t + R"(","output_index":0,"content_index":0)";
  const std::string open = R"("response":{"id":"resp_)" + t +
                           R"(","object":"response","created_at":1700000000,"model":"gpt-5.2",)" +
                           R"("status":"in_progress","output":[]})";
  stream_text out;
  out.preamble.push_back(event("response.created", open));
  out.preamble.push_back(event("response.in_progress", open));
  out.preamble.push_back(
      event("response.output_item.added",
            R"("output_index":0,"item":{"id":"msg_)" + t +
                R"(","type":"message","role":"assistant","status":"in_progress","content":[]})"));
  out.preamble.push_back(event("response.content_part.added",
                               item + R"(,"part":{"type":"output_text","text":"","annotations":[]})"));
  for (const std::string& piece : text_pieces(text)) {
    out.content.push_back(event("response.output_text.delta", item + R"(,"delta":)" + json_string(piece)));
  }
  out.finish.push_back(event("response.output_text.done", item + R"(,"text":)" + json_string(text)));
  out.end.push_back(
      event("response.completed", R"("response":)" + whole_text(dialect_id::openai_responses, tag, text)));
  return out;
}

inline stream_text streamed_text(dialect_id dialect, std::string_view tag, std::string_view text) {
  switch (dialect) {
    case dialect_id::openai_chat:
      return chat_stream(tag, text);
    case dialect_id::openai_responses:
      return responses_stream(tag, text);
    case dialect_id::anthropic_messages:
      break;
  }
  return messages_stream(tag, text);
}

// An error as each vendor sends it inside a stream.
inline std::string stream_error_text(dialect_id dialect, std::string_view type, std::string_view message) {
  const std::string error = R"({"type":)" + json_string(type) + R"(,"message":)" + json_string(message) + '}';
  switch (dialect) {
    case dialect_id::openai_chat:
      return sse_event({}, R"({"error":)" + error + '}');
    case dialect_id::openai_responses:
      return sse_event("error", R"({"type":"error","code":)" + json_string(type) + R"(,"message":)" +
                                    json_string(message) + R"(,"param":null})");
    case dialect_id::anthropic_messages:
      break;
  }
  return sse_event("error", R"({"type":"error","error":)" + error + '}');
}

}  // namespace tidegate::kit
