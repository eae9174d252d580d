// Recorded replies through run_exchange, from a provider that speaks the caller's dialect: bodies and streams
// come out byte for byte, an error keeps its status and its message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "kit/fixtures.h"
#include "kit/world.h"
#include "observe/redact.h"

namespace tidegate::gateway {
namespace {

using kit::dialect_id;
using kit::exchange;
using kit::setup;
using kit::world;

struct recording {
  std::string name;
  dialect_id dialect = dialect_id::openai_chat;
  endpoint what = endpoint::generate;
  bool stream = false;
  int status = 200;
  std::string request;
  std::string reply;
  std::string provider;
};

std::optional<recording> read(const std::filesystem::path& path) {
  static const std::map<std::string, std::pair<dialect_id, endpoint>, std::less<>> apis = {
      {"chat", {dialect_id::openai_chat, endpoint::generate}},
      {"responses", {dialect_id::openai_responses, endpoint::generate}},
      {"messages", {dialect_id::anthropic_messages, endpoint::generate}},
      {"embeddings", {dialect_id::openai_chat, endpoint::embeddings}}};
  const auto text = kit::read_file(path);
  simdjson::dom::parser parser;
  simdjson::dom::element e;
  if (!text || parser.parse(*text).get(e) != simdjson::SUCCESS) return std::nullopt;
  bool stream = false;
  std::int64_t status = 0;
  std::string_view reply;
  std::string_view request;
  const auto api = apis.find(kit::text_of(e, "api"));
  if (api == apis.end() || e["stream"].get(stream) != simdjson::SUCCESS) return std::nullopt;
  if (e["response"]["status"].get(status) != simdjson::SUCCESS ||
      e["response"]["body"].get(reply) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  recording r;
  r.stream = stream && status == 200;
  r.name = path.filename().string();
  r.dialect = api->second.first;
  r.what = api->second.second;
  r.provider = kit::text_of(e, "provider");
  r.status = static_cast<int>(status);
  r.reply = reply;
  if (e["request"]["body"].get(request) == simdjson::SUCCESS) r.request = request;
  // Some vendors name the model in the URL; ours is the vendor's own API, which has it in the body.
  if (r.request.find("\"model\"") == std::string::npos) r.request.clear();
  return r;
}

policy::provider_kind kind_of(const recording& r) {
  if (r.dialect == dialect_id::anthropic_messages) return policy::provider_kind::anthropic;
  const bool own =
      r.dialect == dialect_id::openai_responses || r.provider == "openai" || r.provider == "azure";
  return own ? policy::provider_kind::openai : policy::provider_kind::openai_compatible;
}

setup one_provider(policy::provider_kind kind) {
  setup s = kit::without_backup();
  s.providers = {{"recorded", kind, "https://recorded.example", "sk-recorded-credential"}};
  s.targets = {{"recorded", ""}};
  s.route = "*";
  s.adjust = [](snapshot& next) { next.policies.front().max_output_tokens = 0; };  // recordings ask for more
  return s;
}

std::string message_in(std::string_view body) { return dialect::read_error(body).message; }

// Empty: as promised.
std::string fault_of(const recording& r, const exchange& e) {
  if (r.status == 200) {
    if (e.reply.status != 200) return "answered with " + std::to_string(e.reply.status) + ' ' + e.message();
    return e.reply.body == r.reply ? "" : "the body differs";
  }
  const int status = r.status == 401 || r.status == 403 ? 502 : r.status;
  if (e.reply.status != status)
    return "status " + std::to_string(e.reply.status) + ", not " + std::to_string(status);
  if (status == 502) return e.code() == "AI_AUTH_FAILED" ? "" : "code " + e.code();
  const std::string message = message_in(r.reply);
  if (message.empty() || e.message() == message) return {};
  // Secrets and the queries of URLs are masked in messages.
  return e.message() == observe::redact(message) ? "" : "message: " + e.message();
}

TEST(recorded_replies, bodies_are_relayed_byte_for_byte_and_errors_keep_status_and_message) {
  std::size_t passed = 0;
  std::size_t total = 0;
  std::size_t same_request = 0;
  for (const auto& path : kit::list_fixtures("exchanges", ".json")) {
    const auto r = read(path);
    if (!r || r->stream) continue;
    ++total;
    world w{one_provider(kind_of(*r))};
    w.upstream.always("recorded.example", kit::replies(r->status, r->reply));
    kit::ask a;
    a.dialect = r->dialect;
    a.what = r->what;
    if (a.dialect == dialect_id::anthropic_messages) a.model = "claude-sonnet-4";
    a.body = r->request.empty() ? kit::request_body(a) : r->request;
    const exchange& e = w.run(a);
    const std::string fault = fault_of(*r, e);
    EXPECT_EQ(fault, "") << r->name << " (status " << r->status << ')';
    passed += fault.empty() ? 1U : 0U;
    if (!w.upstream.calls().empty() && w.upstream.calls()[0].body == a.body) ++same_request;
  }
  if (total == 0) GTEST_SKIP() << "no recordings";
  kit::report("recorded replies", passed, total);
  kit::report("recorded requests sent on unchanged", same_request, total);
}

bool asks_for_usage(std::string_view request) {
  const auto parsed = protocol::json::parse(request);
  const auto option = parsed ? parsed->path({"stream_options", "include_usage"}) : std::nullopt;
  return option && option->as_bool().value_or(false);
}

// A chat stream without the chunks that carry usage and nothing else.
std::string without_usage_only(std::string_view stream) {
  std::string out;
  const auto keep = [&](const protocol::sse::event_view& event) {
    const auto chunk = protocol::json::parse(event.data);
    const auto choices = chunk ? chunk->find("choices") : std::nullopt;
    const auto usage = chunk ? chunk->find("usage") : std::nullopt;
    const bool empty =
        choices && choices->is_array() && choices->elements().begin() == choices->elements().end();
    if (!(empty && usage && usage->is_object())) out.append(event.raw);
    return true;
  };
  protocol::sse::parser parser;
  static_cast<void>(parser.feed(stream, keep));
  static_cast<void>(parser.finish(keep));
  return out;
}

std::vector<std::string> cut_at_random(std::string_view bytes) {
  foundation::random_source random{std::uint64_t{bytes.size()} + 1};
  std::vector<std::string> pieces;
  while (!bytes.empty()) {
    pieces.emplace_back(bytes.substr(0, 1 + random.below(97)));
    bytes.remove_prefix(pieces.back().size());
  }
  return pieces;
}

TEST(recorded_replies, streams_are_relayed_byte_for_byte_without_usage_nobody_asked_for) {
  std::size_t passed = 0;
  std::size_t total = 0;
  for (const auto& path : kit::list_fixtures("exchanges", ".json")) {
    const auto r = read(path);
    if (!r || !r->stream) continue;
    ++total;
    world w{one_provider(kind_of(*r))};
    kit::behavior sends = kit::replies(200, {}, "content-type: text/event-stream\r\n");
    sends.pieces = cut_at_random(r->reply);
    w.upstream.always("recorded.example", sends);
    kit::ask a = kit::streamed(r->dialect);
    if (a.dialect == dialect_id::anthropic_messages) a.model = "claude-sonnet-4";
    a.body = r->request.empty() ? kit::request_body(a) : r->request;
    const exchange& e = w.run(a);
    const bool all = a.dialect != dialect_id::openai_chat || asks_for_usage(a.body);
    const bool same = e.reply.body == (all ? r->reply : without_usage_only(r->reply));
    const bool failed = r->reply.contains("event: error\n");
    EXPECT_TRUE(same) << r->name;
    EXPECT_NE(e.reply.ended, failed) << r->name;
    passed += same ? 1U : 0U;
  }
  if (total == 0) GTEST_SKIP() << "no recordings";
  kit::report("recorded streams", passed, total);
}

TEST(recorded_replies, an_own_reply_with_odd_spacing_keeps_every_byte) {
  const std::string reply =
      "{ \"id\" : \"c\", \"object\":\"chat.completion\",\r\n \"choices\":[ "
      "{\"index\":0,\"message\":{\"role\":\"assistant\","
      "\"content\":\"\\u00e9 \xc3\xa9\"},\"finish_reason\":\"stop\"} ], \"extra\": 1.50 }\n";
  world w{one_provider(policy::provider_kind::openai)};
  w.upstream.always("recorded.example", kit::replies(200, reply));
  EXPECT_EQ(w.run().reply.body, reply);
}

}  // namespace
}  // namespace tidegate::gateway
