// What the scripted provider does with a call: the words of scripts, of POST /_mock/behavior and of markers
// in prompts, read into plain data.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tidegate::mock {

using std::chrono::milliseconds;

enum class behavior_kind : std::uint8_t {
  ok,               // answer
  status,           // this status, with a body in the vendor's error shape unless one is given
  delay,            // wait, then answer
  hang,             // no byte, ever
  reset,            // TCP reset, at once or after some events
  refuse,           // the port is closed for a while
  cut,              // the connection ends inside the reply, which so never looks complete
  stall,            // the reply stops, the connection stays
  garbage,          // bytes that are no HTTP (or no JSON) inside the reply
  slow,             // so many bytes a second
  replay,           // a recorded reply
  in_stream_error,  // the vendor's own error event inside a stream
};

enum class split_mode : std::uint8_t { whole, event, random, byte };

struct header_field {
  std::string name;
  std::string value;
};

// A reply as somebody recorded it.
struct recording {
  int status = 200;
  std::string headers;  // complete lines, without framing
  std::string body;
  bool event_stream = false;
};

struct scripted_call {
  std::string name;
  std::string arguments;  // JSON text
};

struct usage_override {
  std::optional<std::int64_t> prompt;
  std::optional<std::int64_t> completion;
  std::optional<std::int64_t> cached;
  std::optional<std::int64_t> cache_write;
  std::optional<std::int64_t> reasoning;
};

struct behavior {
  behavior_kind kind = behavior_kind::ok;
  // Before the first byte.
  milliseconds delay{0};
  std::vector<header_field> headers;

  int status = 200;
  // Sent as it is in place of an answer. `content_type` empty: guessed from the first character.
  std::optional<std::string> body;
  std::string message;  // of an error made here; empty: the vendor's usual words

  // Events of a stream, bytes of a whole body, that go out before the fault.
  std::optional<std::uint64_t> after;
  bool garbage_in_frame = false;  // well-framed, but no JSON
  std::uint64_t bytes_per_second = 0;
  milliseconds refuse_for{500};
  std::string stream_error = "overloaded";  // overloaded | rate-limit | invalid | api

  std::shared_ptr<const recording> replay;
  split_mode split = split_mode::event;
  std::uint64_t seed = 1;

  // The answer. Absent: derived from the request.
  std::optional<std::string> text;
  std::string reasoning;
  std::vector<scripted_call> tool_calls;
  std::string finish;  // the dialect-neutral word: stop, length, tool_use, content_filter
  usage_override usage;
  std::uint64_t pad_bytes = 0;  // filler behind the text
  std::uint64_t events = 0;     // this many further fragments of `chunk_bytes` filler
  std::uint64_t chunk_bytes = 16;
  std::optional<std::uint64_t> chunk_chars;  // of the text, a fragment; in code points
  std::optional<milliseconds> interval;      // between fragments or pieces
};

// All that is given must hold.
struct match_rule {
  std::string path;  // without the query
  std::string model;
  std::vector<header_field> headers;  // an empty value: the header is there
  std::string body_contains;
  bool any() const { return !path.empty() || !model.empty() || !headers.empty() || !body_contains.empty(); }
};

struct step {
  std::shared_ptr<const behavior> does;
  match_rule match;
  std::uint64_t count = 1;  // calls; 0: for ever
};

// `replace_steps` false: `steps` are put behind those that wait.
struct script_change {
  bool replace_steps = false;
  std::vector<step> steps;
  std::shared_ptr<const behavior> fallback;  // null: as it was
};

}  // namespace tidegate::mock
