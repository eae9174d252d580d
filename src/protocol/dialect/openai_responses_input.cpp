// The `input` of a Responses request: items become messages. Items of the assistant in a row become one
// message, for its turn is spread over reasoning, message and function_call items; so do tool results in a
// row.
#include <array>
#include <utility>

#include "foundation/text.h"
#include "protocol/dialect/openai_responses.h"
#include "protocol/dialect/shared.h"

namespace tidegate::protocol::dialect::responses {
namespace {

constexpr std::string_view kept_by_vendor =
    "this refers to something kept by the vendor and cannot be translated";

part read_image(json::value content, const field_path& at, findings& found) {
  part image = make_part(part_kind::image);
  if (member_of(content, "file_id")) {
    found.report(at.member("file_id"), kept_by_vendor);
    return image;
  }
  auto url = member_of(content, "image_url");
  // Chat Completions nests it; clients mix the two up often enough.
  if (url && url->is_object()) url = member_of(*url, "url");
  const std::string text = read_string(url, at.member("image_url"), found).value_or("");
  if (text.empty()) found.report(at.member("image_url"), "a URL or a data URL is required");
  set_source(image, text);
  image.detail = read_string(member_of(content, "detail"), at.member("detail"), found).value_or("");
  return image;
}

// For bare base64 without a data URL's head. The vendor takes PDF where the name says nothing else.
std::string_view media_type_of_name(std::string_view name) {
  struct row {
    std::string_view ending;
    std::string_view media_type;
  };
  static constexpr std::array<row, 5> table{{{".txt", "text/plain"},
                                             {".md", "text/markdown"},
                                             {".csv", "text/csv"},
                                             {".json", "application/json"},
                                             {".html", "text/html"}}};
  const std::string lower = foundation::to_lower(name);
  for (const row& r : table) {
    if (lower.ends_with(r.ending)) return r.media_type;
  }
  return "application/pdf";
}

part read_file(json::value content, const field_path& at, findings& found) {
  part file = make_part(part_kind::file);
  file.name = read_string(member_of(content, "filename"), at.member("filename"), found).value_or("");
  std::string url = read_string(member_of(content, "file_url"), at.member("file_url"), found).value_or("");
  std::string data = read_string(member_of(content, "file_data"), at.member("file_data"), found).value_or("");
  if (!data.empty()) {
    if (parse_data_url(data)) {
      set_source(file, data);
    } else {
      file.media_type = media_type_of_name(file.name);
      file.data = std::move(data);
    }
  } else if (!url.empty()) {
    file.url = std::move(url);
  } else if (member_of(content, "file_id")) {
    found.report(at.member("file_id"), kept_by_vendor);
  } else {
    found.report(at, "file_data or file_url is required");
  }
  return file;
}

part read_content(json::value content, const field_path& at, findings& found) {
  if (auto text = content.as_string()) return make_part(part_kind::text, *std::move(text));
  const std::string type = content.string_or("type", "");
  if (type == "input_text" || type == "output_text" || type == "text" || type == "summary_text") {
    return make_part(part_kind::text,
                     read_string(member_of(content, "text"), at.member("text"), found).value_or(""));
  }
  if (type == "refusal") {
    return make_part(part_kind::refusal,
                     read_string(member_of(content, "refusal"), at.member("refusal"), found).value_or(""));
  }
  if (type == "input_image" || type == "image_url") return read_image(content, at, found);
  if (type == "input_file") return read_file(content, at, found);
  found.report(at.member("type"), "content of type '" + type + "' cannot be translated");
  return {};
}

// A string, or an array of content parts.
std::vector<part> read_contents(std::optional<json::value> content, const field_path& at, findings& found) {
  std::vector<part> parts;
  if (content && content->is_string()) {
    parts.push_back(make_part(part_kind::text, content->as_string().value_or("")));
  } else if (content && content->is_array()) {
    for (const json::value element : content->elements()) {
      parts.push_back(read_content(element, at.element(parts.size()), found));
      if (!found.clean()) break;
    }
  } else {
    found.wrong_type(at, "a string or an array");
  }
  return parts;
}

// Gathers parts into messages; see the file's head.
class assembler {
 public:
  explicit assembler(request& out) : out_{out} {}

  void assistant(part p) {
    if (out_.messages.empty() || out_.messages.back().from != role::assistant) begin(role::assistant);
    out_.messages.back().parts.push_back(std::move(p));
    after_result_ = false;
  }

  void tool_result(part p) {
    if (!after_result_) begin(role::user);
    out_.messages.back().parts.push_back(std::move(p));
    after_result_ = true;
  }

  void user(std::vector<part> parts) {
    begin(role::user);
    out_.messages.back().parts = std::move(parts);
    after_result_ = false;
  }

  // Anywhere in the conversation: no other dialect has a system voice in the middle of it.
  void system(std::vector<part> parts) {
    for (part& p : parts) {
      if (!p.text.empty()) out_.system.push_back(std::move(p));
    }
  }

 private:
  void begin(role from) { out_.messages.push_back(message{.from = from, .parts = {}}); }

  request& out_;
  bool after_result_ = false;
};

bool only_text(const std::vector<part>& parts, bool refusal_too, const field_path& at, findings& found) {
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const part_kind kind = parts[i].kind;
    if (kind == part_kind::text || (refusal_too && kind == part_kind::refusal)) continue;
    const field_path element = at.element(i);
    found.report(element.member("type"), "a message of this role can only have text");
    return false;
  }
  return true;
}

void read_message(json::value item, const field_path& at, assembler& to, findings& found) {
  const std::string from = item.string_or("role", "");
  const field_path content_at = at.member("content");
  std::vector<part> parts = read_contents(member_of(item, "content"), content_at, found);
  if (!found.clean()) return;
  if (from == "user") {
    to.user(std::move(parts));
  } else if (from == "system" || from == "developer") {
    if (only_text(parts, false, content_at, found)) to.system(std::move(parts));
  } else if (from == "assistant") {
    if (!only_text(parts, true, content_at, found)) return;
    for (part& p : parts) to.assistant(std::move(p));
  } else {
    found.report(at.member("role"), "unknown role '" + from + "'");
  }
}

std::string required_string(json::value item, std::string_view key, const field_path& at, findings& found) {
  std::string text = read_string(member_of(item, key), at.member(key), found).value_or("");
  if (text.empty()) found.report(at.member(key), "a non-empty string is required");
  return text;
}

void read_call(json::value item, const field_path& at, assembler& to, findings& found) {
  part call = make_part(part_kind::tool_call);
  call.id = required_string(item, "call_id", at, found);
  call.name = required_string(item, "name", at, found);
  const std::string text =
      read_string(member_of(item, "arguments"), at.member("arguments"), found).value_or("");
  call.data = arguments_as_text(text);
  to.assistant(std::move(call));
}

void read_call_output(json::value item, const field_path& at, assembler& to, findings& found) {
  part answer = make_part(part_kind::tool_result);
  answer.id = required_string(item, "call_id", at, found);
  answer.content = read_contents(member_of(item, "output"), at.member("output"), found);
  to.tool_result(std::move(answer));
}

// Reasoning without words and without its encrypted form lives in the vendor's store only: nothing to tell.
void read_reasoning(json::value item, const field_path& at, assembler& to, findings& found) {
  part thought = make_part(part_kind::thinking);
  const field_path sealed_at = at.member("encrypted_content");
  std::string sealed = read_string(member_of(item, sealed_at.key), sealed_at, found).value_or("");
  thought.id = item.string_or("id", "");
  thought.text = reasoning_text_of(item);
  if (thought.text.empty() && sealed.empty()) return;
  open_seal(std::move(sealed), thought);
  to.assistant(std::move(thought));
}

void read_item(json::value item, const field_path& at, assembler& to, findings& found) {
  if (!item.is_object()) {
    found.wrong_type(at, "an object");
    return;
  }
  const std::string type = read_string(member_of(item, "type"), at.member("type"), found).value_or("message");
  if (type == "message") {
    read_message(item, at, to, found);
  } else if (type == "function_call") {
    read_call(item, at, to, found);
  } else if (type == "function_call_output") {
    read_call_output(item, at, to, found);
  } else if (type == "reasoning") {
    read_reasoning(item, at, to, found);
  } else if (type == "item_reference") {
    found.report(
        at.member("type"),
        "an item reference needs the vendor's store: send the item itself (SDKs do with store: false)");
  } else {
    found.report(at.member("type"), "an item of type '" + type + "' cannot be translated");
  }
}

}  // namespace

void decode_input(std::optional<json::value> input, const field_path& at, request& out, findings& found) {
  assembler to{out};
  if (!input) {
    found.report(at, "an input is required");
  } else if (auto text = input->as_string()) {
    to.user({make_part(part_kind::text, *std::move(text))});
  } else if (!input->is_array()) {
    found.wrong_type(at, "a string or an array");
  } else {
    std::size_t index = 0;
    for (const json::value item : input->elements()) {
      read_item(item, at.element(index++), to, found);
      if (!found.clean()) return;
    }
  }
}

}  // namespace tidegate::protocol::dialect::responses
