#include "mock/vendor.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "foundation/random.h"
#include "mock/recording.h"
#include "protocol/dialect/models.h"

namespace tidegate::mock {
namespace {

namespace dialect = protocol::dialect;
namespace json = protocol::json;

constexpr std::int64_t dimensions_default = 1536;
constexpr std::int64_t dimensions_max = 4096;
constexpr std::size_t inputs_max = 2048;

std::string_view anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 504:
      return "timeout_error";
    case 529:
      return "overloaded_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

std::string_view openai_type(int status) {
  if (status >= 500) return "server_error";
  return status == 429 ? "requests" : "invalid_request_error";
}

std::string_view openai_code(int status) {
  switch (status) {
    case 401:
      return "invalid_api_key";
    case 404:
      return "model_not_found";
    case 429:
      return "rate_limit_exceeded";
    default:
      return {};
  }
}

std::string_view usual_words(vendor shape, int status) {
  switch (status) {
    case 400:
      return "The request is not valid.";
    case 401:
      return shape == vendor::openai ? "Incorrect API key provided." : "invalid x-api-key";
    case 403:
      return "The key may not do this.";
    case 404:
      return "There is no such thing here.";
    case 413:
      return "Request exceeds the maximum size";
    case 429:
      return "Rate limit reached. Please try again later.";
    case 502:
      return "Bad gateway.";
    case 503:
      return "The server is overloaded or not ready yet.";
    case 504:
      return "The request timed out.";
    case 529:
      return "Overloaded";
    default:
      return status >= 500 ? "The server had an error while processing the request."
                           : "The request was refused.";
  }
}

std::array<dialect::model_entry, 6> model_entries() {
  constexpr std::int64_t created = 1'735'689'600;  // 2025-01-01
  return {{{"gpt-5.2", "openai", created},
           {"gpt-4o-mini", "openai", created},
           {"claude-sonnet-4-5", "anthropic", created},
           {"claude-haiku-4-5", "anthropic", created},
           {"text-embedding-3-small", "openai", created},
           {"mock", "tidegate", created}}};
}

dialect::dialect_id list_shape(vendor shape) {
  return shape == vendor::openai ? dialect::dialect_id::openai_chat : dialect::dialect_id::anthropic_messages;
}

std::uint64_t hash_of(std::string_view bytes) {
  std::uint64_t h = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return h;
}

std::vector<float> vector_of(std::string_view text, std::int64_t dimensions) {
  foundation::random_source random{hash_of(text)};
  std::vector<float> out(static_cast<std::size_t>(dimensions));
  double squares = 0;
  for (float& x : out) {
    x = static_cast<float>(random.unit() * 2 - 1);
    squares += static_cast<double>(x) * static_cast<double>(x);
  }
  const auto scale = static_cast<float>(squares > 0 ? 1 / std::sqrt(squares) : 0);
  for (float& x : out) x *= scale;
  return out;
}

void write_vector(json::writer& w, const std::vector<float>& v, bool coded) {
  if (!coded) {
    w.begin_array();
    for (const float x : v) w.number(static_cast<double>(x));
    w.end_array();
    return;
  }
  static_assert(std::endian::native == std::endian::little, "the format is little-endian");
  std::string bytes(v.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), v.data(), bytes.size());
  w.string(encode_base64(bytes));
}

// One text, one list of token numbers, or several of either.
std::vector<std::string> inputs_of(json::value input) {
  std::vector<std::string> out;
  if (input.is_string()) return {input.as_string().value_or("")};
  for (const json::value each : input.elements()) {
    if (each.is_number()) return {std::string{input.raw()}};
    out.push_back(each.is_string() ? each.as_string().value_or("") : std::string{each.raw()});
    if (out.size() > inputs_max) break;
  }
  return out;
}

}  // namespace

std::string error_body(vendor shape, const vendor_error& e, std::uint64_t call_number) {
  const std::string_view message =
      e.message.empty() ? usual_words(shape, e.status) : std::string_view{e.message};
  std::string out;
  json::writer w{out};
  w.begin_object();
  if (shape == vendor::anthropic) {
    w.member("type", "error").key("error").begin_object();
    w.member("type", anthropic_type(e.status)).member("message", message).end_object();
    w.member("request_id", std::string_view{"req_mock" + std::to_string(call_number)});
  } else {
    const std::string_view code = e.code.empty() ? openai_code(e.status) : std::string_view{e.code};
    w.key("error")
        .begin_object()
        .member("message", message)
        .member("type", openai_type(e.status))
        .key("param");
    e.param.empty() ? w.null() : w.string(e.param);
    w.key("code");
    code.empty() ? w.null() : w.string(code);
    w.end_object();
  }
  w.end_object();
  return out;
}

named_error error_named(vendor shape, std::string_view name) {
  const bool openai = shape == vendor::openai;
  if (name == "rate-limit") {
    return openai
               ? named_error{429, "requests", "rate_limit_exceeded", "Rate limit reached."}
               : named_error{429, "rate_limit_error", "", "Number of requests has exceeded your rate limit."};
  }
  if (name == "invalid") return {400, "invalid_request_error", "", "The request is not valid."};
  if (name == "api") {
    return openai
               ? named_error{500, "server_error", "", "The server had an error while processing the request."}
               : named_error{500, "api_error", "", "Internal server error"};
  }
  return openai ? named_error{503, "server_error", "server_is_overloaded", "The server is overloaded."}
                : named_error{529, "overloaded_error", "", "Overloaded"};
}

std::string models_body(vendor shape) {
  return dialect::encode_model_list(list_shape(shape), model_entries());
}

std::expected<std::string, vendor_error> model_body(vendor shape, std::string_view id) {
  if (id == unknown_model) return std::unexpected{unknown_model_error(shape, id)};
  const auto known = model_entries();
  const auto found = std::ranges::find(known, id, &dialect::model_entry::id);
  const dialect::model_entry entry =
      found != known.end() ? *found : dialect::model_entry{std::string{id}, "tidegate", 0};
  return dialect::encode_model(list_shape(shape), entry);
}

vendor_error unknown_model_error(vendor shape, std::string_view id) {
  const std::string name{id};
  return {404,
          shape == vendor::openai ? "The model `" + name + "` does not exist or you do not have access to it."
                                  : "model: " + name,
          "", ""};
}

std::expected<std::string, vendor_error> embeddings_body(json::value body) {
  const std::vector<std::string> inputs = inputs_of(body.find("input").value_or(json::value{}));
  if (inputs.empty()) return std::unexpected{vendor_error{400, "'input' is required.", "input", ""}};
  if (inputs.size() > inputs_max)
    return std::unexpected{vendor_error{400, "'input' has too many elements.", "input", ""}};
  const std::int64_t dimensions = body.int_at("dimensions").value_or(dimensions_default);
  if (dimensions < 1 || dimensions > dimensions_max) {
    return std::unexpected{vendor_error{400, "'dimensions' is out of range.", "dimensions", ""}};
  }
  const bool coded = body.string_or("encoding_format", "float") == "base64";
  std::string out;
  json::writer w{out};
  w.begin_object().member("object", "list").key("data").begin_array();
  std::int64_t bytes = 0;
  std::int64_t index = 0;
  for (const std::string& each : inputs) {
    bytes += static_cast<std::int64_t>(each.size());
    w.begin_object().member("object", "embedding").member("index", index++).key("embedding");
    write_vector(w, vector_of(each, dimensions), coded);
    w.end_object();
  }
  const std::int64_t llm_tokens = std::max<std::int64_t>((bytes + 3) / 4, 1);
  w.end_array().member("model", std::string_view{body.string_or("model", "text-embedding-3-small")});
  w.key("usage")
      .begin_object()
      .member("prompt_tokens", llm_tokens)
      .member("total_tokens", llm_tokens)
      .end_object();
  w.end_object();
  return out;
}

}  // namespace tidegate::mock
