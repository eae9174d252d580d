// What of a body a provider would count as tokens, handed over piece by piece without translating it. The
// estimator itself is policy; this only knows where in each dialect the words are.
//
// What is not known to be something else is text: an unknown member of a message or of a piece of content
// counts with its whole JSON, so that no spelling makes words disappear. Media count by kind and size, never
// by the bytes of their base64 or URL. Labels (role, type, ids, cache marks) count only when they are longer
// than labels are.
#pragma once

#include <cstdint>
#include <string_view>

#include "protocol/dialect/canonical.h"
#include "protocol/json/json.h"

namespace tidegate::protocol::dialect {

class text_sink {
 public:
  virtual ~text_sink() = default;
  // Decoded UTF-8. One string of the body may come in several pieces, none of which splits a character.
  // Valid during the call only.
  virtual void text(std::string_view piece) = 0;
};

enum class media_kind : std::uint8_t {
  image,
  document,   // a file to be read: PDF and its like; files of plain text count as text of their size
  recording,  // audio, video
  sealed,     // opaque reasoning of a vendor; `bytes` beyond the reasoning text that stands beside it
};

struct media_item {
  media_kind kind = media_kind::image;
  std::int64_t bytes = 0;  // of inline data, decoded; 0 where the body only refers to it
};

class prompt_sink : public text_sink {
 public:
  virtual void media(const media_item& item) = 0;
  // Input whose count is known without its words: token ids (embeddings), text inside of base64.
  virtual void tokens(std::int64_t count) = 0;
};

// `body`: a validated object, of any shape. Instructions, messages or input with tool calls and results,
// tools, output schemas. Takes time linear in the body and no memory that grows with it.
void walk_prompt(dialect_id speaks, json::value body, prompt_sink& sink);
// `input` of an embeddings request: a string, strings, token ids, lists of token ids.
void walk_embeddings(json::value body, prompt_sink& sink);
// What a whole reply says: all choices, reasoning and tool calls included.
void walk_reply(dialect_id speaks, json::value body, prompt_sink& sink);

// The decoded text of a JSON string's inside, escapes resolved one by one: nothing is copied.
void hand_over(std::string_view inside, text_sink& sink);

}  // namespace tidegate::protocol::dialect
