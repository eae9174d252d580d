// The messages of a Chat Completions request, read into the canonical form.
#include <array>
#include <utility>

#include "protocol/dialect/openai_chat.h"

namespace tidegate::protocol::dialect::chat {
namespace {

constexpr std::array<std::string_view, 13> message_names{
    "role", "content",       "refusal",   "tool_calls",        "function_call",     "tool_call_id",
    "name", "cache_control", "reasoning", "reasoning_content", "reasoning_details", "audio",
    "index"};

void read_image(json::value piece, const field_path& where, std::vector<part>& out, findings& found) {
  part made;
  made.kind = part_kind::image;
  const field_path inner = where.member("image_url");
  const std::optional<json::value> source = member_of(piece, "image_url");
  std::string url;
  if (source.has_value() && source->is_object()) {
    url = read_string(member_of(*source, "url"), inner.member("url"), found).value_or("");
    made.detail = read_string(member_of(*source, "detail"), inner.member("detail"), found).value_or("");
  } else {
    // Mistral's clients send the URL itself.
    url = read_string(source, inner, found).value_or("");
  }
  if (url.empty()) return found.report(inner, "an image needs a URL");
  set_source(made, url);
  out.push_back(std::move(made));
}

std::string_view media_type_of_name(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 5> endings{
      {{".txt", "text/plain"},
       {".md", "text/markdown"},
       {".csv", "text/csv"},
       {".html", "text/html"},
       {".json", "application/json"}}};
  for (const auto& [ending, media_type] : endings) {
    if (name.ends_with(ending)) return media_type;
  }
  return "application/pdf";
}

void read_file(json::value piece, const field_path& where, std::vector<part>& out, findings& found) {
  const field_path inner = where.member("file");
  const auto file = read_object(member_of(piece, "file"), inner, found);
  if (!file.has_value()) return found.wrong_type(inner, "an object");
  if (member_of(*file, "file_id").has_value()) {
    return found.report(inner.member("file_id"), "a file kept by one vendor cannot be read at the target");
  }
  part made;
  made.kind = part_kind::file;
  made.name = read_string(member_of(*file, "filename"), inner.member("filename"), found).value_or("");
  const std::string data =
      read_string(member_of(*file, "file_data"), inner.member("file_data"), found).value_or("");
  if (data.empty()) return found.report(inner.member("file_data"), "a file needs its data");
  set_source(made, data);
  if (made.url.find("://") == std::string::npos && !made.url.empty()) {
    // Bare base64, as OpenAI's own examples once had it.
    made.data = std::exchange(made.url, std::string{});
    made.media_type = media_type_of_name(made.name);
  }
  out.push_back(std::move(made));
}

void read_document_url(json::value piece, const field_path& where, std::vector<part>& out, findings& found) {
  part made;
  made.kind = part_kind::file;
  const field_path inner = where.member("document_url");
  const std::string url = read_string(member_of(piece, "document_url"), inner, found).value_or("");
  if (url.empty()) return found.report(inner, "a document needs a URL");
  made.name =
      read_string(member_of(piece, "document_name"), where.member("document_name"), found).value_or("");
  set_source(made, url);
  out.push_back(std::move(made));
}

// One element of a content array. `thinking` pieces are Mistral's.
void read_piece(json::value piece, const field_path& where, std::vector<part>& out, findings& found) {
  if (const auto bare = piece.as_string()) {
    out.push_back(make_part(part_kind::text, *bare));
    return;
  }
  if (!piece.is_object()) return found.wrong_type(where, "an object");
  const std::string type = read_string(member_of(piece, "type"), where.member("type"), found).value_or("");
  const std::size_t before = out.size();
  if (type == "text" || type == "refusal") {
    part made;
    made.kind = type == "text" ? part_kind::text : part_kind::refusal;
    const field_path inner = where.member(type);
    const auto text = read_string(member_of(piece, type), inner, found);
    if (!text.has_value()) return found.wrong_type(inner, "a string");
    made.text = *text;
    out.push_back(std::move(made));
  } else if (type == "image_url") {
    read_image(piece, where, out, found);
  } else if (type == "file") {
    read_file(piece, where, out, found);
  } else if (type == "document_url") {
    read_document_url(piece, where, out, found);
  } else if (type != "thinking") {
    return found.report(where.member("type"),
                        "content of this type has no counterpart at the target of this model");
  }
  const auto cache = member_of(piece, "cache_control");
  if (cache.has_value() && out.size() > before) out.back().cache_control = cache->raw();
}

void read_content(std::optional<json::value> content, const field_path& where, std::vector<part>& out,
                  findings& found) {
  if (!content.has_value()) return;
  if (std::optional<std::string> text = content->as_string()) {
    out.push_back(make_part(part_kind::text, std::move(*text)));
    return;
  }
  if (!content->is_array()) return found.wrong_type(where, "a string or an array");
  std::size_t at = 0;
  for (const json::value piece : content->elements()) {
    const field_path place = where.element(at++);
    if (!found.admit(place)) return;
    read_piece(piece, place, out, found);
  }
}

// OpenRouter takes cache_control beside the content too; it marks the end of the message.
void mark_cache(const fields& message, std::vector<part>& parts, std::size_t from) {
  const auto cache = message["cache_control"];
  if (cache.has_value() && parts.size() > from && parts.back().cache_control.empty()) {
    parts.back().cache_control = cache->raw();
  }
}

void read_tool_call(json::value call, const field_path& where, std::size_t at, std::vector<part>& out,
                    findings& found) {
  if (!call.is_object()) return found.wrong_type(where, "an object");
  const std::string type =
      read_string(member_of(call, "type"), where.member("type"), found).value_or("function");
  if (type != "function") {
    return found.report(where.member("type"), "tool calls of this type have no counterpart at the target");
  }
  const field_path inner = where.member("function");
  const auto function = read_object(member_of(call, "function"), inner, found);
  if (!function.has_value()) return found.wrong_type(inner, "an object");
  part made;
  made.kind = part_kind::tool_call;
  made.id = read_string(member_of(call, "id"), where.member("id"), found).value_or("");
  if (made.id.empty()) made.id = default_call_id(at);
  made.name = read_string(member_of(*function, "name"), inner.member("name"), found).value_or("");
  if (made.name.empty()) found.report(inner.member("name"), "a tool call must have a name");
  made.data = arguments_as_text(arguments_of(member_of(*function, "arguments")));
  if (const auto cache = member_of(call, "cache_control")) made.cache_control = cache->raw();
  out.push_back(std::move(made));
}

class message_reader {
 public:
  message_reader(request& out, findings& found) : out_{out}, found_{found} {}

  void read(json::value message, const field_path& where) {
    if (!message.is_object()) return found_.wrong_type(where, "an object");
    const fields members{message, message_names};
    const std::string role = read_string(members["role"], where.member("role"), found_).value_or("");
    if (role == "system" || role == "developer") {
      const std::size_t before = out_.system.size();
      read_content(members["content"], where.member("content"), out_.system, found_);
      mark_cache(members, out_.system, before);
      refuse_media(before, where.member("content"));
    } else if (role == "user") {
      read_user(members, where);
    } else if (role == "assistant") {
      read_assistant(message, members, where);
    } else if (role == "tool" || role == "function") {
      read_result(members, where, role == "function");
    } else {
      found_.report(where.member("role"), "unknown role");
    }
  }

 private:
  void refuse_media(std::size_t from, const field_path& where) {
    for (std::size_t i = from; i < out_.system.size(); ++i) {
      if (out_.system[i].kind != part_kind::text) found_.report(where, "a system message is text only");
    }
  }

  void read_user(const fields& members, const field_path& where) {
    message made;
    made.from = role::user;
    read_content(members["content"], where.member("content"), made.parts, found_);
    mark_cache(members, made.parts, 0);
    out_.messages.push_back(std::move(made));
  }

  void read_assistant(json::value raw, const fields& members, const field_path& where) {
    message made;
    made.from = role::assistant;
    if (members["audio"].has_value()) {
      found_.report(where.member("audio"), "audio kept by one vendor cannot be read at the target");
    }
    check_content(members, where);
    if (!found_.clean()) return;
    append_content(raw, made.parts);
    mark_cache(members, made.parts, 0);
    const field_path calls_path = where.member("tool_calls");
    std::size_t at = 0;
    if (const auto calls = read_array(members["tool_calls"], calls_path, found_)) {
      for (const json::value call : calls->elements()) {
        const field_path place = calls_path.element(at);
        if (!found_.admit(place)) return;
        read_tool_call(call, place, at, made.parts, found_);
        ++at;
      }
    }
    if (at == 0) read_function_call(members, where, made.parts);
    out_.messages.push_back(std::move(made));
  }

  // append_content is forgiving, as replies need it; a request's mistakes are named.
  void check_content(const fields& members, const field_path& where) {
    std::vector<part> unused;
    const auto content = members["content"];
    if (content.has_value() && !content->is_string()) {
      read_content(content, where.member("content"), unused, found_);
    }
    read_string(members["refusal"], where.member("refusal"), found_);
  }

  // The deprecated single call has no id: one is made from its place, and the next `function` message answers
  // it.
  void read_function_call(const fields& members, const field_path& where, std::vector<part>& parts) {
    const field_path inner = where.member("function_call");
    const auto call = read_object(members["function_call"], inner, found_);
    if (!call.has_value()) return;
    part made;
    made.kind = part_kind::tool_call;
    made.name = read_string(member_of(*call, "name"), inner.member("name"), found_).value_or("");
    if (made.name.empty()) return found_.report(inner.member("name"), "a function call must have a name");
    made.id = "function-call-" + std::to_string(out_.messages.size());
    made.data = arguments_as_text(arguments_of(member_of(*call, "arguments")));
    open_call_ = made.id;
    parts.push_back(std::move(made));
  }

  void read_result(const fields& members, const field_path& where, bool older) {
    part made;
    made.kind = part_kind::tool_result;
    if (older) {
      made.id = std::exchange(open_call_, std::string{});
      if (made.id.empty())
        return found_.report(where.member("role"), "no function call precedes this result");
    } else {
      made.id = read_string(members["tool_call_id"], where.member("tool_call_id"), found_).value_or("");
      if (made.id.empty()) found_.report(where.member("tool_call_id"), "a tool message must name its call");
    }
    read_content(members["content"], where.member("content"), made.content, found_);
    if (const auto cache = members["cache_control"]) made.cache_control = cache->raw();
    const bool joins = !out_.messages.empty() && out_.messages.back().from == role::user &&
                       !out_.messages.back().parts.empty() &&
                       out_.messages.back().parts.back().kind == part_kind::tool_result;
    if (!joins) out_.messages.push_back({.from = role::user, .parts = {}});
    out_.messages.back().parts.push_back(std::move(made));
  }

  request& out_;
  findings& found_;
  std::string open_call_;
};

}  // namespace

void decode_messages(json::value messages, const field_path& where, request& out, findings& found) {
  message_reader reader{out, found};
  std::size_t at = 0;
  for (const json::value each : messages.elements()) {
    const field_path place = where.element(at++);
    if (found.admit(place)) reader.read(each, place);
    if (!found.clean()) return;
  }
  if (at == 0) found.report(where, "at least one message is needed");
}

}  // namespace tidegate::protocol::dialect::chat
