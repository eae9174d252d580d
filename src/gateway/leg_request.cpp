#include "gateway/leg_request.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "foundation/text.h"

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

// Same dialect: only what must differ is edited, every other byte stays.
void relay_body(const call& request, const read_request& read, std::string_view model, leg_request& leg) {
  std::vector<json::edit> edits;
  std::string quoted_model;
  std::string stream_options;
  if (model != read.summary.model) {
    json::append_quoted(quoted_model, model);
    edits.push_back({"model", quoted_model});
  }
  const bool chat = request.dialect == dialect::dialect_id::openai_chat && request.what == endpoint::generate;
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

std::expected<leg_request, failure> make_leg_request(const call& request, read_request& read,
                                                     const provider& to, std::string_view model) {
  leg_request leg;
  const dialect::dialect_id speaks =
      request.what == endpoint::generate ? to.dialect_for(request.dialect) : request.dialect;
  leg.speaks = &dialect::get(speaks);
  leg.same_dialect = speaks == request.dialect;
  std::string_view path = leg.speaks->path();
  if (request.what == endpoint::embeddings) path = "/v1/embeddings";
  if (request.what == endpoint::count_tokens) path = "/v1/messages/count_tokens";
  if (leg.same_dialect) {
    relay_body(request, read, model, leg);
  } else {
    if (!read.canonical) {
      auto decoded = dialect::get(request.dialect).decode_request(read.body);
      if (!decoded) return std::unexpected{caller_fault(decoded.error())};
      read.canonical = std::make_unique<dialect::request>(std::move(*decoded));
    }
    read.canonical->model = model;
    read.canonical->stream_usage = true;
    auto encoded = leg.speaks->encode_request(*read.canonical, to.max_tokens_field);
    if (!encoded) return std::unexpected{caller_fault(encoded.error())};
    leg.own_body = std::move(*encoded);
  }
  leg.head = make_head(request, to, path, leg.same_dialect, read.summary.stream, leg.body().size());
  return leg;
}

}  // namespace tidegate::gateway
