// Any bytes as a Chat Completions request, reply and stream: nothing crashes, what is read can be written in
// every dialect, and what is written is valid JSON.
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

void try_request(json::value body) {
  const dialect::dialect& chat = dialect::openai_chat();
  static_cast<void>(chat.summarize(body));
  const auto read = chat.decode_request(body);
  if (!read.has_value()) {
    TG_CHECK(!read.error().message.empty());
    return;
  }
  for (const dialect_id id : all_dialects) {
    const auto text = dialect::get(id).encode_request(*read, "max_tokens");
    if (text.has_value()) TG_CHECK(json::validate(*text, depth).has_value());
  }
}

void try_reply(json::value body) {
  const dialect::dialect& chat = dialect::openai_chat();
  static_cast<void>(chat.usage_of(body));
  const auto read = chat.decode_reply(body);
  TG_CHECK(read.has_value() == chat.has_reply_shape(body));
  if (!read.has_value()) return;
  for (const dialect_id id : all_dialects) {
    const dialect::encode_context context{
        .id = "1", .model = "m", .created = 1, .include_usage = true, .asked = nullptr};
    TG_CHECK(json::validate(dialect::get(id).encode_reply(*read, context), depth).has_value());
  }
}

void try_stream(std::string_view bytes) {
  const auto watch = dialect::openai_chat().watch();
  const auto decoder = dialect::openai_chat().decoder();
  std::vector<dialect::stream_event> events;
  sse::parser parser{1U << 20};
  const auto take = [&](const sse::event_view& event) {
    watch->look(event);
    decoder->decode(event, events);
    return true;
  };
  parser.feed(bytes, take);
  parser.finish(take);
  for (const dialect_id id : all_dialects) {
    const auto encoder = dialect::get(id).encoder(
        {.id = "1", .model = "m", .created = 1, .include_usage = true, .asked = nullptr});
    std::string out;
    for (const dialect::stream_event& event : events) encoder->encode(event, out);
    sse::parser again;
    again.feed(out, [](const sse::event_view& event) {
      const bool marker = event.data == "[DONE]";
      if (event.dispatch && !marker) TG_CHECK(json::validate(event.data, depth).has_value());
      return true;
    });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  try_stream(bytes);
  static_cast<void>(dialect::read_error(bytes));
  const auto body = json::parse(bytes);
  if (!body.has_value()) return 0;
  if (body->is_object()) try_request(*body);
  try_reply(*body);
  return 0;
}
