// Server-sent events: any split reads as the whole does, and the bytes of all events and of the rest are the
// input. The first byte chooses the size of the pieces, the second whether a small bound holds.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/check.h"
#include "protocol/sse/sse.h"

namespace {

namespace sse = tidegate::protocol::sse;

struct seen_event {
  std::string type;
  std::string data;
  std::string id;
  bool has_id = false;
  bool dispatch = false;

  bool operator==(const seen_event&) const = default;
};

struct reading {
  std::vector<seen_event> events;
  std::string joined;
  sse::feed_status status = sse::feed_status::ok;
};

reading read(std::string_view bytes, std::size_t step, std::size_t max) {
  reading out;
  sse::parser reader{max};
  const auto note = [&out](const sse::event_view& event) {
    out.events.push_back({std::string{event.type}, std::string{event.data}, std::string{event.id},
                          event.has_id, event.dispatch});
    out.joined += event.raw;
    return true;
  };
  for (std::size_t from = 0; from < bytes.size(); from += step) {
    const std::string_view piece = bytes.substr(from, step);
    const std::vector<char> exact{piece.begin(), piece.end()};
    out.status = reader.feed({exact.data(), exact.size()}, note);
    if (out.status != sse::feed_status::ok) return out;
  }
  out.status = reader.finish(note);
  out.joined += reader.rest();
  return out;
}

// Written events read back as they were; line ends become LF, which is all the format can say.
void check_writing(const reading& from) {
  for (const seen_event& event : from.events) {
    if (!event.dispatch) continue;
    std::string text;
    sse::append_event(text, event.type, event.data);
    const reading back = read(text, text.size(), 1U << 20);
    TG_CHECK(back.events.size() == 1 && back.events[0].dispatch);
    TG_CHECK(back.events[0].type == event.type && back.events[0].data == event.data);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes{reinterpret_cast<const char*>(data) + 2, size - 2};
  const std::size_t step = 1U + data[0] % 32U;
  const std::size_t max = data[1] % 4U == 0 ? 24U : 1U << 20;
  const reading whole = read(bytes, bytes.size() + 1, max);
  const reading split = read(bytes, step, max);
  TG_CHECK(split.status == whole.status);
  TG_CHECK(split.events == whole.events);
  if (whole.status != sse::feed_status::ok) return 0;
  TG_CHECK(whole.joined == bytes);
  TG_CHECK(split.joined == bytes);
  check_writing(whole);
  return 0;
}
