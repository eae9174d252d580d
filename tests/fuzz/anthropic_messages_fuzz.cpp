// Arbitrary bytes as a Messages request, reply and stream: nothing may crash, and whatever could be read must
// be sayable in every dialect as valid JSON or as a complaint.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/check.h"
#include "protocol/dialect/anthropic_tokens.h"
#include "protocol/dialect/dialect.h"
#include "protocol/json/json.h"
#include "protocol/sse/sse.h"

namespace {

using namespace tidegate::protocol;
using namespace tidegate::protocol::dialect;

constexpr dialect_id all_dialects[] = {dialect_id::openai_chat, dialect_id::openai_responses,
                                       dialect_id::anthropic_messages};

// Encoders may nest a schema or arguments a few levels deeper than they came.
bool is_json(std::string_view text) { return json::validate(text, 2 * json::depth_max).has_value(); }

void try_whole(std::string_view text) {
  const auto body = json::parse(text);
  if (!body || !body->is_object()) return;
  const auto& own = anthropic_messages();
  static_cast<void>(own.summarize(*body));
  static_cast<void>(own.usage_of(*body));
  static_cast<void>(decode_token_count(*body));
  const auto asked = own.decode_request(*body);
  const auto said = own.decode_reply(*body);
  for (const dialect_id id : all_dialects) {
    if (asked) {
      const auto encoded = get(id).encode_request(*asked, "max_tokens");
      TG_CHECK(!encoded || is_json(*encoded));
    }
    if (said) {
      const encode_context context{.id = "run", .model = "m", .asked = asked ? &*asked : nullptr};
      TG_CHECK(is_json(get(id).encode_reply(*said, context)));
    }
  }
}

void try_stream(std::string_view bytes) {
  const auto decoder = anthropic_messages().decoder();
  const auto watch = anthropic_messages().watch();
  std::vector<stream_event> events;
  sse::parser parser{std::size_t{1} << 20U};
  const auto each = [&](const sse::event_view& event) {
    static_cast<void>(watch->look(event));
    decoder->decode(event, events);
    return true;
  };
  parser.feed(bytes, each);
  parser.finish(each);
  for (const dialect_id id : all_dialects) {
    std::string out;
    const auto encoder = get(id).encoder({.id = "run", .model = "m"});
    for (const stream_event& e : events) encoder->encode(e, out);
    sse::parser again;
    again.feed(out, [](const sse::event_view& event) {
      TG_CHECK(!event.dispatch || event.data == "[DONE]" || is_json(event.data));
      return true;
    });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  try_whole(bytes);
  try_stream(bytes);
  // Lines of JSON without framing reach the stream decoder more often than whole events do.
  std::string framed;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end = std::min(bytes.find('\n', at), bytes.size());
    sse::append_event(framed, "", bytes.substr(at, end - at));
    at = end + 1;
  }
  try_stream(framed);
  return 0;
}
