// Recorded provider traffic: where it is found, and each recording as plain request and reply bytes with its
// dialect.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/dialect/canonical.h"
#include "protocol/dialect/dialect.h"
#include "protocol/sse/sse.h"

namespace tidegate::conformance {

struct recording {
  std::string name;  // path below the fixtures, to be found again
  std::string provider;
  protocol::dialect::dialect_id dialect = protocol::dialect::dialect_id::openai_chat;
  bool stream = false;
  int status = 200;
  std::string request;   // empty where only the reply was kept
  std::string response;  // JSON text, or SSE text of a stream
};

// TIDEGATE_FIXTURES, or shared/fixtures beside the source tree.
std::string fixtures_dir();
std::string read_all(const std::string& path);
// Everything that speaks one of the three dialects, in order of names; empty where there are no fixtures.
const std::vector<recording>& recordings();

// How a stream's bytes reach the parser.
enum class split : std::uint8_t { whole, random, single };
inline constexpr split splits[] = {split::whole, split::random, split::single};
std::string_view name_of(split how);

// Calls on_event for every event of `bytes`, cut as told. The random cut depends on the bytes alone.
template <class OnEvent>
void feed(std::string_view bytes, split how, OnEvent&& on_event) {
  protocol::sse::parser parser;
  std::minstd_rand random{static_cast<std::uint32_t>(bytes.size() + 1)};
  const auto all = [&](const protocol::sse::event_view& event) {
    on_event(event);
    return true;
  };
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t want = how == split::whole    ? bytes.size()
                             : how == split::single ? 1
                                                    : 1 + random() % 97;
    const std::string piece{
        bytes.substr(at, want)};  // a copy, so that views into an older piece would be caught
    parser.feed(piece, all);
    at += piece.size();
  }
  parser.finish(all);
}

// The canonical events of a stream.
std::vector<protocol::dialect::stream_event> decode_stream(protocol::dialect::dialect_id id,
                                                           std::string_view bytes, split how);

}  // namespace tidegate::conformance
