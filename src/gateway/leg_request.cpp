#include "gateway/leg_request.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "foundation/text.h"
#include "policy/tokens.h"
#include "protocol/dialect/prompt_estimate.h"

namespace tidegate::gateway {
namespace {

namespace json = protocol::json;
using foundation::error_code;
using foundation::failure;

constexpr std::string_view anthropic_version = "2023-06-01";

bool has_header(std::string_view lines, std::string_view lower_name) {
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find("\r\n"));
    if (line.size() > lower_name.size() && line[lower_name.size()] == ':' &&
        foundation::iequals(line.substr(0, lower_name.size()), lower_name)) {
      return true;
    }
    lines.remove_prefix(std::min(lines.size(), line.size() + 2));
  }
  return false;
}

void append_line(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

void append_credential(std::string& out, const provider& to) {
  if (to.credential.empty()) return;
  if (to.kind == policy::provider_kind::anthropic) {
    append_line(out, "x-api-key", to.credential);
  } else {
    out.append("authorization: Bearer ").append(to.credential).append("\r\n");
  }
}

std::string make_head(const call& request, const provider& to, std::string_view api_path, bool same_dialect,
                      bool stream, std::size_t body_bytes) {
  std::string head;
  head.reserve(512);
  head.append("POST ").append(to.url.path_of(api_path));
  if (same_dialect) head.append(request.query);
  head.append(" HTTP/1.1\r\n");
  append_line(head, "host", to.url.authority());
  append_credential(head, to);
  if (same_dialect) head.append(request.dialect_headers);
  if (to.kind == policy::provider_kind::anthropic &&
      !(same_dialect && has_header(request.dialect_headers, "anthropic-version"))) {
    append_line(head, "anthropic-version", anthropic_version);
  }
  head.append("content-type: application/json\r\n");
  head.append(stream ? "accept: text/event-stream\r\n" : "accept: application/json\r\n");
  head.append("accept-encoding: identity\r\nuser-agent: tidegate/" TIDEGATE_VERSION "\r\ncontent-length: ");
  foundation::append_number(head, static_cast<std::int64_t>(body_bytes));
  head.append("\r\n\r\n");
  return head;
}

failure caller_fault(const dialect::complaint& why) {
  failure f;
  f.code = error_code::invalid_argument;
  f.message = why.message;
  f.param = why.param;
  return f;
}

// Usage is always asked for in a stream, and passed on only where the caller asked (GW-6).
std::string with_usage(json::value body) {
  const auto options = body.find("stream_options");
  const json::edit wanted{"include_usage", "true"};
  return json::apply(options && options->is_object() ? options->raw() : std::string_view{"{}"}, {&wanted, 1});
}

// What media cost where only their kind and size are known, by the vendors' published rules, rounded up.
// Images: Anthropic scales down to about 1,600 tokens (width x height / 750, long edge 1,568 px); OpenAI's
// tiles at high detail end near it (85 + 170 a tile).
constexpr std::int64_t image_tokens = 1'600;
// Documents: Anthropic counts 1,500 to 3,000 tokens a page of PDF. The pages are not counted here, so that
// one page is taken for every started 64 KiB, and one for a document that is only referred to.
constexpr std::int64_t page_tokens = 3'000;
constexpr std::int64_t page_bytes = 64 * 1024;
// Recordings: 10 tokens a second at OpenAI, 32 at Google; at the 16 kB a second of usual MP3, one for 500
// bytes.
constexpr std::int64_t recording_bytes_a_token = 500;
constexpr std::int64_t recording_tokens_least = 1'600;  // also where it is only referred to
constexpr std::int64_t sealed_bytes_a_token = 4;

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

std::int64_t tokens_of(const dialect::media_item& item) {
  switch (item.kind) {
    case dialect::media_kind::image:
      return image_tokens;
    case dialect::media_kind::document:
      return page_tokens * std::max<std::int64_t>(divide_up(item.bytes, page_bytes), 1);
    case dialect::media_kind::recording:
      return std::max(divide_up(item.bytes, recording_bytes_a_token), recording_tokens_least);
    case dialect::media_kind::sealed:
      return divide_up(item.bytes, sealed_bytes_a_token);
  }
  return 0;
}

class prompt_total final : public dialect::prompt_sink {
 public:
  void text(std::string_view piece) override { words_.add(piece); }
  void media(const dialect::media_item& item) override { rest_ += tokens_of(item); }
  void tokens(std::int64_t count) override { rest_ += count; }
  std::int64_t total() const { return words_.tokens() + rest_; }

 private:
  policy::token_estimate words_;
  std::int64_t rest_ = 0;
};

failure invalid_bound(std::string_view field, std::string message) {
  failure f;
  f.code = error_code::invalid_argument;
  f.message = std::move(message);
  f.param = field;
  return f;
}

std::string_view own_max_tokens_field(dialect::dialect_id speaks, const provider& to) {
  switch (speaks) {
    case dialect::dialect_id::openai_chat:
      return to.max_tokens_field;
    case dialect::dialect_id::openai_responses:
      return "max_output_tokens";
    case dialect::dialect_id::anthropic_messages:
      break;
  }
  return "max_tokens";
}

// The bound goes where the caller named one: OpenAI's reasoning models refuse max_tokens, others know nothing
// else. A caller that used both of Chat's names has each of them lowered, for providers differ in which they
// heed.
void bound_output(const read_request& read, dialect::dialect_id speaks, const provider& to,
                  std::string_view bound, std::int64_t effective_max, std::vector<json::edit>& edits) {
  const dialect::request_summary& asked = read.summary;
  if (!asked.max_tokens) {
    edits.push_back({own_max_tokens_field(speaks, to), bound});
    return;
  }
  if (*asked.max_tokens <= effective_max) return;
  edits.push_back({asked.max_tokens_field, bound});
  if (speaks != dialect::dialect_id::openai_chat) return;
  const std::string_view other =
      asked.max_tokens_field == "max_tokens" ? "max_completion_tokens" : "max_tokens";
  const auto named = read.body.int_at(other);
  if (named && *named > effective_max) edits.push_back({other, bound});
}

// Same dialect: only what must differ is edited, every other byte stays.
void relay_body(const call& request, const read_request& read, const provider& to, std::string_view model,
                std::int64_t effective_max, leg_request& leg) {
  std::vector<json::edit> edits;
  std::string quoted_model;
  std::string stream_options;
  std::string bound;
  if (model != read.summary.model) {
    json::append_quoted(quoted_model, model);
    edits.push_back({"model", quoted_model});
  }
  const bool generates = request.what == endpoint::generate;
  if (generates && effective_max > 0) {
    foundation::append_number(bound, effective_max);
    bound_output(read, request.dialect, to, bound, effective_max, edits);
  }
  const bool chat = request.dialect == dialect::dialect_id::openai_chat && generates;
  if (chat && read.summary.stream && !read.summary.stream_usage) {
    stream_options = with_usage(read.body);
    edits.push_back({"stream_options", stream_options});
    leg.drop_usage_only = true;
  }
  if (edits.empty()) {
    leg.callers_body = read.body.raw();
    return;
  }
  leg.own_body = json::apply(read.body.raw(), edits);
}

}  // namespace

std::int64_t estimate_prompt(const call& request, const read_request& read) {
  prompt_total sum;
  if (request.what == endpoint::embeddings) {
    dialect::walk_embeddings(read.body, sum);
  } else {
    dialect::walk_prompt(request.dialect, read.body, sum);
  }
  return sum.total();
}

std::expected<std::int64_t, failure> effective_max_tokens(const dialect::request_summary& asked,
                                                          const output_cap& cap) {
  const std::int64_t most = cap.max > 0 ? cap.max : std::numeric_limits<std::int64_t>::max();
  const std::string_view field = asked.max_tokens_field;
  if (asked.max_tokens && *asked.max_tokens < 1) {
    return std::unexpected{invalid_bound(field, std::string{field} + " must be at least 1")};
  }
  if (asked.max_tokens && *asked.max_tokens > most && !cap.clamp) {
    return std::unexpected{invalid_bound(
        field, std::string{field} + " is " + std::to_string(*asked.max_tokens) + ", above the limit of " +
                   std::to_string(most) + " output tokens for one request")};
  }
  const std::int64_t wanted = asked.max_tokens.value_or(cap.fallback.value_or(cap.max));
  const std::int64_t effective = std::min(wanted, most);
  // Where the caller's own numbers break the vendor's rule, the vendor says so; here our bound would.
  const std::int64_t callers = asked.max_tokens.value_or(std::numeric_limits<std::int64_t>::max());
  if (effective > 0 && asked.thinking_budget >= effective && asked.thinking_budget < callers) {
    return std::unexpected{invalid_bound(
        "thinking.budget_tokens", "thinking.budget_tokens is " + std::to_string(*asked.thinking_budget) +
                                      " and must be below max_tokens, which this gateway limits to " +
                                      std::to_string(effective))};
  }
  return effective;
}

std::int64_t projected_output(const dialect::request_summary& asked, std::int64_t effective_max) {
  constexpr std::int64_t most = std::int64_t{1} << 60;
  const std::int64_t choices = std::max<std::int64_t>(asked.choices, 1);
  return effective_max > most / choices ? most : effective_max * choices;
}

std::expected<leg_request, failure> make_leg_request(const call& request, read_request& read,
                                                     const provider& to, std::string_view model,
                                                     std::int64_t effective_max) {
  leg_request leg;
  const dialect::dialect_id speaks =
      request.what == endpoint::generate ? to.dialect_for(request.dialect) : request.dialect;
  leg.speaks = &dialect::get(speaks);
  leg.same_dialect = speaks == request.dialect;
  std::string_view path = leg.speaks->path();
  if (request.what == endpoint::embeddings) path = "/v1/embeddings";
  if (request.what == endpoint::count_tokens) path = "/v1/messages/count_tokens";
  if (leg.same_dialect) {
    relay_body(request, read, to, model, effective_max, leg);
  } else {
    if (!read.canonical) {
      auto decoded = dialect::get(request.dialect).decode_request(read.body);
      if (!decoded) return std::unexpected{caller_fault(decoded.error())};
      read.canonical = std::make_unique<dialect::request>(std::move(*decoded));
    }
    read.canonical->model = model;
    read.canonical->stream_usage = true;
    if (effective_max > 0) read.canonical->max_tokens = effective_max;
    auto encoded = leg.speaks->encode_request(*read.canonical, to.max_tokens_field);
    if (!encoded) return std::unexpected{caller_fault(encoded.error())};
    leg.own_body = std::move(*encoded);
  }
  leg.head = make_head(request, to, path, leg.same_dialect, read.summary.stream, leg.body().size());
  return leg;
}

}  // namespace tidegate::gateway
