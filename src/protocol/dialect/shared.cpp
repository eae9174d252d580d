#include "protocol/dialect/shared.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "foundation/check.h"
#include "foundation/text.h"

namespace tidegate::protocol::dialect {

std::string field_path::text() const {
  if (parent == nullptr && !index.has_value()) return std::string{key};
  std::string out = parent == nullptr ? std::string{} : parent->text();
  if (index.has_value()) {
    out += '[';
    foundation::append_number(out, static_cast<std::int64_t>(*index));
    out += ']';
    return out;
  }
  if (!out.empty()) out += '.';
  out += key;
  return out;
}

bool findings::admit(const field_path& where) {
  if (++items <= items_max) return true;
  report(where, "the request has too many elements");
  return false;
}

void findings::report(const field_path& where, std::string_view message) {
  if (first.has_value()) return;
  first = complaint{std::string{message}, where.text()};
}

void findings::wrong_type(const field_path& where, std::string_view expected) {
  if (first.has_value()) return;
  std::string place = where.text();
  std::string message = place + " must be ";
  message += expected;
  first = complaint{std::move(message), std::move(place)};
}

fields::fields(json::value object, std::span<const std::string_view> names) : names_{names} {
  TG_CHECK(names.size() <= found_.size());
  for (const json::member& each : object.members()) {
    // An escaped key is decoded once, not once for every name.
    std::string unescaped;
    std::string_view key = each.raw_key;
    if (key.find('\\') != std::string_view::npos) {
      unescaped = each.key();
      key = unescaped;
    }
    const auto at = std::ranges::find(names, key);
    if (at != names.end()) found_[static_cast<std::size_t>(at - names.begin())] = each.content;
  }
}

std::optional<json::value> fields::operator[](std::string_view name) const {
  const auto at = std::ranges::find(names_, name);
  TG_CHECK(at != names_.end());
  const std::optional<json::value>& v = found_[static_cast<std::size_t>(at - names_.begin())];
  if (!v.has_value() || v->is_null()) return std::nullopt;
  return v;
}

std::optional<json::value> member_of(json::value object, std::string_view name) {
  std::optional<json::value> v = object.find(name);
  if (v.has_value() && v->is_null()) return std::nullopt;
  return v;
}

std::optional<std::string> read_string(std::optional<json::value> v, const field_path& where,
                                       findings& found) {
  if (!v.has_value() || v->is_null()) return std::nullopt;
  std::optional<std::string> text = v->as_string();
  if (!text.has_value()) found.wrong_type(where, "a string");
  return text;
}

std::optional<bool> read_bool(std::optional<json::value> v, const field_path& where, findings& found) {
  if (!v.has_value() || v->is_null()) return std::nullopt;
  const std::optional<bool> b = v->as_bool();
  if (!b.has_value()) found.wrong_type(where, "a boolean");
  return b;
}

std::optional<std::int64_t> read_int(std::optional<json::value> v, const field_path& where, findings& found) {
  if (!v.has_value() || v->is_null()) return std::nullopt;
  const std::optional<std::int64_t> n = v->as_int();
  if (!n.has_value()) found.wrong_type(where, "an integer");
  return n;
}

std::optional<double> read_number(std::optional<json::value> v, const field_path& where, findings& found) {
  if (!v.has_value() || v->is_null()) return std::nullopt;
  const std::optional<double> n = v->as_double();
  if (!n.has_value() || !std::isfinite(*n)) {
    found.wrong_type(where, "a number");
    return std::nullopt;
  }
  return n;
}

std::optional<json::value> read_object(std::optional<json::value> v, const field_path& where,
                                       findings& found) {
  if (!v.has_value() || v->is_null()) return std::nullopt;
  if (v->is_object()) return v;
  found.wrong_type(where, "an object");
  return std::nullopt;
}

std::optional<json::value> read_array(std::optional<json::value> v, const field_path& where,
                                      findings& found) {
  if (!v.has_value() || v->is_null()) return std::nullopt;
  if (v->is_array()) return v;
  found.wrong_type(where, "an array");
  return std::nullopt;
}

std::optional<std::int64_t> read_token_bound(std::optional<json::value> v, const field_path& where,
                                             findings& found) {
  const std::optional<std::int64_t> n = read_int(v, where, found);
  if (!n.has_value() || *n >= 1) return n;
  found.wrong_type(where, "at least 1");
  return std::nullopt;
}

std::vector<std::string> read_strings(std::optional<json::value> v, const field_path& where,
                                      findings& found) {
  std::vector<std::string> out;
  if (!v.has_value() || v->is_null()) return out;
  if (std::optional<std::string> single = v->as_string()) {
    out.push_back(std::move(*single));
    return out;
  }
  if (!v->is_array()) {
    found.wrong_type(where, "a string or an array of strings");
    return out;
  }
  for (const json::value each : v->elements()) {
    const field_path at = where.element(out.size());
    if (!found.admit(at)) return out;
    std::optional<std::string> text = each.as_string();
    if (!text.has_value()) {
      found.wrong_type(at, "a string");
      return out;
    }
    out.push_back(std::move(*text));
  }
  return out;
}

std::optional<data_url> parse_data_url(std::string_view url) {
  constexpr std::string_view scheme = "data:";
  if (!foundation::istarts_with(url, scheme)) return std::nullopt;
  url.remove_prefix(scheme.size());
  const std::size_t comma = url.find(',');
  if (comma == std::string_view::npos) return std::nullopt;
  const std::string_view head = url.substr(0, comma);
  const std::size_t last = head.rfind(';');
  if (last == std::string_view::npos) return std::nullopt;
  if (!foundation::iequals(foundation::trim(head.substr(last + 1)), "base64")) return std::nullopt;
  std::string_view media_type = foundation::trim(head.substr(0, head.find(';')));
  if (media_type.empty()) media_type = "text/plain";
  return data_url{media_type, url.substr(comma + 1)};
}

std::string make_data_url(std::string_view media_type, std::string_view data) {
  std::string out;
  out.reserve(media_type.size() + data.size() + 16);
  out.append("data:").append(media_type).append(";base64,").append(data);
  return out;
}

void set_source(part& target, std::string_view url) {
  if (const std::optional<data_url> inside = parse_data_url(url)) {
    target.media_type = inside->media_type;
    target.data = inside->data;
    return;
  }
  target.url = url;
}

std::string_view arguments_as_text(std::string_view arguments) {
  return foundation::trim(arguments).empty() ? std::string_view{"{}"} : arguments;
}

std::string arguments_as_object(std::string_view arguments) {
  const std::string_view trimmed = foundation::trim(arguments);
  if (trimmed.empty()) return "{}";
  // Some levels are left for the body the arguments will stand in.
  if (trimmed.front() == '{' && json::validate(trimmed, json::depth_max - 8).has_value()) {
    return std::string{trimmed};
  }
  std::string out = "{\"_raw\":";
  json::append_quoted(out, arguments);
  out += '}';
  return out;
}

std::string arguments_of(std::optional<json::value> v) {
  if (!v.has_value() || v->is_null()) return {};
  if (std::optional<std::string> text = v->as_string()) return std::move(*text);
  return std::string{v->raw()};
}

std::string default_call_id(std::size_t index) {
  std::string id = "tool-call-";
  foundation::append_number(id, static_cast<std::int64_t>(index));
  return id;
}

std::string joined_text(std::span<const part> parts, part_kind kind, std::string_view between) {
  std::string out;
  bool any = false;
  for (const part& each : parts) {
    if (each.kind != kind) continue;
    if (any) out += between;
    out += each.text;
    any = true;
  }
  return out;
}

bool has_kind(std::span<const part> parts, part_kind kind) {
  return std::ranges::any_of(parts, [kind](const part& each) { return each.kind == kind; });
}

std::int64_t token_count(std::optional<json::value> v) {
  if (!v.has_value()) return 0;
  if (const std::optional<std::int64_t> n = v->as_int()) {
    return std::clamp(*n, std::int64_t{0}, token_count_max);
  }
  const double n = v->as_double().value_or(0.0);
  if (!std::isfinite(n) || n <= 0.0) return 0;
  return static_cast<std::int64_t>(std::min(n, static_cast<double>(token_count_max)));
}

std::optional<std::int64_t> first_count(json::value object, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    const std::optional<json::value> v = member_of(object, name);
    if (v.has_value()) return token_count(v);
  }
  return std::nullopt;
}

namespace {

constexpr std::array<std::string_view, 16> usage_names{"prompt_tokens",
                                                       "input_tokens",
                                                       "completion_tokens",
                                                       "output_tokens",
                                                       "cached_tokens",
                                                       "cachedTokens",
                                                       "cache_read_input_tokens",
                                                       "prompt_cache_hit_tokens",
                                                       "cache_creation_input_tokens",
                                                       "reasoning_tokens",
                                                       "prompt_tokens_details",
                                                       "input_tokens_details",
                                                       "completion_tokens_details",
                                                       "output_tokens_details",
                                                       "cache_creation",
                                                       "server_tool_use"};

std::optional<std::int64_t> first_of(const fields& object, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    const std::optional<json::value> v = object[name];
    if (v.has_value()) return token_count(v);
  }
  return std::nullopt;
}

struct detail_counts {
  std::int64_t cached = 0;
  std::int64_t cache_write = 0;
  std::int64_t reasoning = 0;
};

// The larger count of either dialect's details objects.
void read_details(std::optional<json::value> object, detail_counts& out) {
  if (!object.has_value()) return;
  for (const json::member& each : object->members()) {
    const auto raise = [&](std::int64_t& count) { count = std::max(count, token_count(each.content)); };
    if (each.key_is("cached_tokens")) raise(out.cached);
    if (each.key_is("cache_write_tokens")) raise(out.cache_write);
    if (each.key_is("reasoning_tokens")) raise(out.reasoning);
  }
}

}  // namespace

// One pass over the object: this is read for every reply that is relayed.
usage read_openai_usage(std::optional<json::value> v) {
  usage out;
  if (!v.has_value() || !v->is_object()) return out;
  const fields counts{*v, usage_names};
  const std::optional<std::int64_t> prompt = first_of(counts, {"prompt_tokens", "input_tokens"});
  const std::optional<std::int64_t> completion = first_of(counts, {"completion_tokens", "output_tokens"});
  out.known = prompt.has_value() || completion.has_value();
  out.prompt = prompt.value_or(0);
  out.completion = completion.value_or(0);
  detail_counts input;
  read_details(counts["prompt_tokens_details"], input);
  read_details(counts["input_tokens_details"], input);
  detail_counts output;
  read_details(counts["completion_tokens_details"], output);
  read_details(counts["output_tokens_details"], output);
  out.cached = std::max({input.cached, first_of(counts, {"cached_tokens", "cachedTokens"}).value_or(0),
                         token_count(counts["cache_read_input_tokens"]),
                         token_count(counts["prompt_cache_hit_tokens"])});
  out.cached = std::min(out.cached, out.prompt);
  out.cache_write = std::max(input.cache_write, token_count(counts["cache_creation_input_tokens"]));
  out.cache_write = std::min(out.cache_write, out.prompt - out.cached);
  out.reasoning = std::max(output.reasoning, token_count(counts["reasoning_tokens"]));
  // Of gateways that pass Anthropic's own counts along.
  if (const auto written = counts["cache_creation"]; written && written->is_object())
    out.cache_write_1h = std::min(token_count(written->find("ephemeral_1h_input_tokens")), out.cache_write);
  if (const auto tools = counts["server_tool_use"]; tools && tools->is_object())
    out.web_searches = token_count(tools->find("web_search_requests"));
  return out;
}

bool same_usage(const usage& a, const usage& b) {
  return a.known == b.known && a.prompt == b.prompt && a.completion == b.completion && a.cached == b.cached &&
         a.cache_write == b.cache_write && a.reasoning == b.reasoning &&
         a.cache_write_1h == b.cache_write_1h && a.web_searches == b.web_searches;
}

std::string_view effort_of_budget(std::int64_t budget_tokens) {
  if (budget_tokens <= 2048) return "low";
  return budget_tokens <= 8192 ? "medium" : "high";
}

std::optional<std::int64_t> budget_of_effort(std::string_view effort) {
  if (effort == "minimal" || effort == "low") return 1024;
  if (effort == "medium") return 4096;
  if (effort == "high") return 16384;
  if (effort == "xhigh" || effort == "max") return 32768;
  return std::nullopt;
}

std::string_view openai_error_type(int http_status) {
  switch (http_status) {
    case 401:
      return "authentication_error";
    case 402:
      return "insufficient_quota";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return http_status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string_view anthropic_error_type(const foundation::failure& f) {
  if (f.code == foundation::error_code::ai_provider_unavailable ||
      f.code == foundation::error_code::server_overloaded) {
    return "overloaded_error";
  }
  switch (f.http_status()) {
    case 401:
      return "authentication_error";
    case 402:
      return "billing_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 408:
      return "timeout_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 504:
      return "timeout_error";
    case 529:
      return "overloaded_error";
    default:
      return f.http_status() >= 500 ? "api_error" : "invalid_request_error";
  }
}

std::string openai_error_body(const foundation::failure& f, std::string_view run_id,
                              std::string_view trace_id) {
  std::string out;
  json::writer w{out};
  w.begin_object().key("error").begin_object().member("message", std::string_view{f.message});
  w.member("type",
           f.upstream_type.empty() ? openai_error_type(f.http_status()) : std::string_view{f.upstream_type});
  w.key("param");
  f.param.empty() ? w.null() : w.string(f.param);
  w.member("code", foundation::name_of(f.code));
  if (!f.upstream_code.empty()) w.member("provider_code", std::string_view{f.upstream_code});
  if (!trace_id.empty()) w.member("trace_id", trace_id);
  if (!run_id.empty()) w.member("run_id", run_id);
  if (!f.details.empty()) w.key("details").raw(f.details);
  w.end_object().end_object();
  return out;
}

std::string text_or_number(std::optional<json::value> v) {
  if (!v.has_value()) return {};
  if (v->is_number()) return std::string{v->raw()};
  return v->as_string().value_or(std::string{});
}

stream_error read_stream_error(json::value error) {
  stream_error out;
  if (std::optional<std::string> text = error.as_string()) {
    out.message = std::move(*text);
    return out;
  }
  out.type = text_or_number(error.find("type"));
  out.code = text_or_number(error.find("code"));
  out.message = error.string_or("message", "");
  if (out.type.empty()) out.type = text_or_number(error.find("status"));
  if (out.code.empty()) out.code = text_or_number(error.find("status_code"));
  return out;
}

}  // namespace tidegate::protocol::dialect
