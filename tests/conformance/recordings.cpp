#include "conformance/recordings.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "protocol/json/json.h"

namespace tidegate::conformance {
namespace {

namespace fs = std::filesystem;
using protocol::dialect::dialect_id;
using protocol::json::value;

std::optional<dialect_id> dialect_of_api(std::string_view api) {
  if (api == "chat") return dialect_id::openai_chat;
  if (api == "responses") return dialect_id::openai_responses;
  if (api == "messages") return dialect_id::anthropic_messages;
  return std::nullopt;
}

// By the shape of a reply or of a stream's first event.
std::optional<dialect_id> dialect_of_shape(value body) {
  const std::string type = body.string_or("type", "");
  const std::string object = body.string_or("object", "");
  if (type == "message" || type == "message_start") return dialect_id::anthropic_messages;
  if (object == "response" || type.starts_with("response.")) return dialect_id::openai_responses;
  if (object.starts_with("chat.completion")) return dialect_id::openai_chat;
  return std::nullopt;
}

std::optional<recording> read_exchange(const fs::path& path) {
  const std::string text = read_all(path.string());
  const auto body = protocol::json::parse(text);
  if (!body) return std::nullopt;
  const auto id = dialect_of_api(body->string_or("api", ""));
  const auto request = body->path({"request", "body"});
  const auto response = body->path({"response", "body"});
  if (!id || !response) return std::nullopt;
  recording out;
  out.name = "exchanges/" + path.filename().string();
  out.provider = body->string_or("provider", "");
  out.dialect = *id;
  out.stream = body->find("stream").value_or(value{}).as_bool().value_or(false);
  out.status = static_cast<int>(body->path({"response", "status"}).value_or(value{}).as_int().value_or(0));
  if (request) out.request = request->as_string().value_or("");
  out.response = response->as_string().value_or("");
  return out;
}

// One JSON text a line, framed as the vendor frames it: OpenAI's Responses and Anthropic name each event.
std::optional<recording> read_chunks(const fs::path& path) {
  std::ifstream in{path, std::ios::binary};
  recording out;
  out.stream = true;
  std::optional<dialect_id> id;
  for (std::string line; std::getline(in, line);) {
    const auto body = protocol::json::parse(line);
    if (!body) continue;
    if (!id) id = dialect_of_shape(*body);
    if (!id) return std::nullopt;
    const std::string type = body->string_or("type", "");
    protocol::sse::append_event(out.response, *id == dialect_id::openai_chat ? "" : type, line);
    // Some files hold the replies of several turns; the first is the recording.
    if (type == "message_stop" || type == "response.completed" || type == "response.incomplete") break;
  }
  if (!id) return std::nullopt;
  out.dialect = *id;
  if (*id == dialect_id::openai_chat) protocol::sse::append_event(out.response, "", "[DONE]");
  return out;
}

std::optional<recording> read_whole(const fs::path& path) {
  recording out;
  out.response = read_all(path.string());
  const auto body = protocol::json::parse(out.response);
  const auto id = body ? dialect_of_shape(*body) : std::nullopt;
  if (!id) return std::nullopt;
  out.dialect = *id;
  return out;
}

std::optional<recording> read_sse(const fs::path& path) {
  recording out;
  out.stream = true;
  out.response = read_all(path.string());
  std::optional<dialect_id> id;
  feed(out.response, split::whole, [&](const protocol::sse::event_view& event) {
    const auto body = protocol::json::parse(event.data);
    if (!id && event.dispatch && body) id = dialect_of_shape(*body);
  });
  if (!id) return std::nullopt;
  out.dialect = *id;
  return out;
}

std::vector<recording> read_folder(const fs::path& root, std::string_view folder) {
  std::vector<recording> out;
  std::error_code missing;
  for (const auto& entry : fs::recursive_directory_iterator{root / folder, missing}) {
    const std::string path = entry.path().string();
    std::optional<recording> read;
    if (folder == "exchanges")
      read = read_exchange(entry.path());
    else if (path.ends_with(".chunks.txt"))
      read = read_chunks(entry.path());
    else if (path.ends_with(".sse"))
      read = read_sse(entry.path());
    else if (path.ends_with(".json"))
      read = read_whole(entry.path());
    if (!read) continue;
    if (read->name.empty()) read->name = fs::relative(entry.path(), root).string();
    if (read->provider.empty()) read->provider = entry.path().parent_path().filename().string();
    out.push_back(std::move(*read));
  }
  return out;
}

}  // namespace

std::string fixtures_dir() {
  if (const char* dir = std::getenv("TIDEGATE_FIXTURES"); dir != nullptr) return dir;
  return (fs::path{TIDEGATE_SOURCE_DIR} / ".." / "shared" / "fixtures").string();
}

std::string read_all(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

const std::vector<recording>& recordings() {
  static const std::vector<recording> all = [] {
    std::vector<recording> out;
    for (const std::string_view folder : {"exchanges", "fixtures_anthropic_sdk", "fixtures_vercel"}) {
      auto more = read_folder(fixtures_dir(), folder);
      std::ranges::move(more, std::back_inserter(out));
    }
    std::ranges::sort(out, {}, &recording::name);
    return out;
  }();
  return all;
}

std::string_view name_of(split how) {
  switch (how) {
    case split::whole:
      return "whole";
    case split::random:
      return "random";
    case split::single:
      return "single bytes";
  }
  return "";
}

std::vector<protocol::dialect::stream_event> decode_stream(dialect_id id, std::string_view bytes, split how) {
  std::vector<protocol::dialect::stream_event> out;
  const auto decoder = protocol::dialect::get(id).decoder();
  feed(bytes, how, [&](const protocol::sse::event_view& event) { decoder->decode(event, out); });
  return out;
}

}  // namespace tidegate::conformance
