// Any bytes as a Responses request, reply and stream: nothing crashes, what is read can be written in every
// dialect, what is written is valid JSON, and what the Responses encoder writes its own decoder reads whole.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/check.h"
#include "protocol/dialect/dialect.h"
#include "protocol/json/json.h"
#include "protocol/sse/sse.h"

namespace {

using namespace tidegate::protocol;
using dialect::dialect_id;

constexpr dialect_id all_dialects[] = {dialect_id::openai_chat, dialect_id::openai_responses,
                                       dialect_id::anthropic_messages};

// Encoders wrap what they are given, so their texts may be deeper than what was read.
constexpr std::size_t depth = 256;

dialect::encode_context context_for(const dialect::request* asked) {
  return {.id = "1", .model = "m", .created = 1, .include_usage = true, .asked = asked};
}

void try_request(json::value body) {
  const dialect::dialect& responses = dialect::openai_responses();
  static_cast<void>(responses.summarize(body));
  const auto read = responses.decode_request(body);
  if (!read.has_value()) {
    TG_CHECK(!read.error().message.empty());
    return;
  }
  for (const dialect_id id : all_dialects) {
    const auto text = dialect::get(id).encode_request(*read, "max_tokens");
    if (text.has_value()) TG_CHECK(json::validate(*text, depth).has_value());
  }
  const std::string echoed = responses.encode_reply(dialect::reply{}, context_for(&*read));
  TG_CHECK(json::validate(echoed, depth).has_value());
}

void try_reply(json::value body) {
  const dialect::dialect& responses = dialect::openai_responses();
  static_cast<void>(responses.usage_of(body));
  const auto read = responses.decode_reply(body);
  if (!read.has_value()) return;
  TG_CHECK(responses.has_reply_shape(body));
  for (const dialect_id id : all_dialects) {
    TG_CHECK(json::validate(dialect::get(id).encode_reply(*read, context_for(nullptr)), depth).has_value());
  }
}

std::vector<dialect::stream_event> decode(std::string_view bytes) {
  const auto watch = dialect::openai_responses().watch();
  const auto decoder = dialect::openai_responses().decoder();
  std::vector<dialect::stream_event> events;
  sse::parser parser{1U << 20U};
  const auto take = [&](const sse::event_view& event) {
    watch->look(event);
    decoder->decode(event, events);
    return true;
  };
  parser.feed(bytes, take);
  parser.finish(take);
  return events;
}

std::string spoken_in(const std::vector<dialect::stream_event>& events) {
  std::string out;
  for (const dialect::stream_event& e : events) {
    if (e.kind == dialect::stream_event_kind::text) out += e.text;
    // Behind a failure nothing is said.
    if (e.kind == dialect::stream_event_kind::error) break;
  }
  return out;
}

void try_stream(std::string_view bytes) {
  const std::vector<dialect::stream_event> events = decode(bytes);
  for (const dialect_id id : all_dialects) {
    const auto encoder = dialect::get(id).encoder(context_for(nullptr));
    std::string out;
    for (const dialect::stream_event& event : events) encoder->encode(event, out);
    sse::parser again;
    again.feed(out, [](const sse::event_view& event) {
      const bool marker = event.data == "[DONE]";
      if (event.dispatch && !marker) TG_CHECK(json::validate(event.data, depth).has_value());
      return true;
    });
    if (id == dialect_id::openai_responses) TG_CHECK(spoken_in(decode(out)) == spoken_in(events));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes{reinterpret_cast<const char*>(data), size};
  if (const auto body = json::parse(bytes)) {
    if (body->is_object()) {
      try_request(*body);
      try_reply(*body);
      // A lone object is one event of a stream, too.
      std::string event;
      sse::append_event(event, "", bytes);
      try_stream(event);
    }
  }
  try_stream(bytes);
  return 0;
}
