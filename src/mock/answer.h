// What the scripted provider says to a request: always the same to the same one. Tokens are counted as one
// for each four bytes, rounded up: of all text that a request holds (tools and their schemas too), of all
// that a reply holds.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "mock/behavior.h"
#include "mock/markers.h"
#include "protocol/dialect/canonical.h"
#include "protocol/dialect/dialect.h"

namespace tidegate::mock {

namespace dialect = protocol::dialect;

// A request as its dialect reads it. What only the vendor's own servers can do (built-in tools and the like)
// is no obstacle: such a body is read for its model, its stream flag and its last text.
std::expected<dialect::request, dialect::complaint> read_request(const dialect::dialect& speaks,
                                                                 protocol::json::value body);

// The text of the last message, if the user said it.
std::string last_user_text(const dialect::request& asked);
std::int64_t count_prompt_tokens(const dialect::request& asked);

struct call_identity {
  std::uint64_t number = 0;  // ids are made of it
  std::int64_t created = 0;  // Unix seconds
};

struct answer {
  dialect::reply reply;
  // Further text fragments of filler, made while they are sent; part of the usage.
  std::uint64_t filler_fragments = 0;
  std::uint64_t filler_bytes = 0;  // of each
};

answer compose(dialect::dialect_id speaks, const dialect::request& asked, std::string_view raw_body,
               const markers& prompt, const behavior& does, call_identity call);
// The filler as text of the reply, for one that is not streamed.
void fold_filler(answer& a);

}  // namespace tidegate::mock
