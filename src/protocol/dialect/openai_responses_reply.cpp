// Whole replies of the Responses dialect.
#include <utility>

#include "protocol/dialect/openai_responses.h"
#include "protocol/dialect/shared.h"

namespace tidegate::protocol::dialect::responses {
namespace {

constexpr std::string_view signature_seal = "tidegate.signature.";
constexpr std::string_view redacted_seal = "tidegate.redacted.";

std::string joined_texts(std::optional<json::value> list) {
  std::string out;
  if (!list) return out;
  for (const json::value element : list->elements()) {
    std::string text = element.string_or("text", "");
    if (text.empty()) continue;
    if (!out.empty()) out += reasoning_paragraph;
    out += text;
  }
  return out;
}

void read_message(json::value item, std::vector<part>& out) {
  const auto content = member_of(item, "content");
  if (!content) return;
  if (auto text = content->as_string()) {
    out.push_back(make_part(part_kind::text, *std::move(text)));
    return;
  }
  for (const json::value element : content->elements()) {
    if (auto text = element.find("text"); text && text->is_string()) {
      out.push_back(make_part(part_kind::text, text->as_string().value_or("")));
    } else if (auto refusal = element.find("refusal"); refusal && refusal->is_string()) {
      out.push_back(make_part(part_kind::refusal, refusal->as_string().value_or("")));
    }
  }
}

void read_reasoning(json::value item, std::vector<part>& out) {
  part thought = make_part(part_kind::thinking);
  thought.id = item.string_or("id", "");
  thought.text = reasoning_text_of(item);
  open_seal(item.string_or("encrypted_content", ""), thought);
  const bool empty = thought.text.empty() && thought.signature.empty() && thought.encrypted_content.empty();
  if (thought.kind == part_kind::thinking && empty) return;
  out.push_back(std::move(thought));
}

std::int64_t seconds_of(json::value body) {
  const auto created = member_of(body, "created_at");
  return created ? token_count(created) : 0;
}

// Collects items; text and refusals in a row share one message item.
class item_list {
 public:
  item_list(std::string_view response, finish_reason finish)
      : response_{response}, status_{item_status_of(finish)} {}

  void add(const part& p) {
    switch (p.kind) {
      case part_kind::text:
        spoken([&p](json::writer& w) { write_text_part(w, p.text); });
        break;
      case part_kind::refusal:
        spoken([&p](json::writer& w) { write_refusal_part(w, p.text); });
        break;
      case part_kind::thinking:
      case part_kind::redacted_thinking:
        close_message();
        next([&](json::writer& w) {
          write_reasoning_item(w, p.id.empty() ? item_id("rs", response_, count_) : p.id, p.text, seal_of(p));
        });
        break;
      case part_kind::tool_call:
        call(p);
        break;
      default:
        break;
    }
  }

  std::string finish() {
    close_message();
    return "[" + out_ + "]";
  }

 private:
  template <class Write>
  void spoken(Write write) {
    if (!content_.empty()) content_ += ',';
    json::writer w{content_};
    write(w);
  }

  template <class Write>
  void next(Write write) {
    if (count_ != 0) out_ += ',';
    json::writer w{out_};
    write(w);
    ++count_;
  }

  void close_message() {
    if (content_.empty()) return;
    next([this](json::writer& w) {
      write_message_item(w, item_id("msg", response_, count_), status_, content_);
    });
    content_.clear();
  }

  void call(part p) {
    close_message();
    if (p.id.empty()) p.id = default_call_id(calls_);
    ++calls_;
    p.data = arguments_as_text(p.data);
    next([&](json::writer& w) { write_call_item(w, item_id("fc", response_, count_), status_, p); });
  }

  std::string_view response_;
  std::string_view status_;
  std::string content_;
  std::string out_;
  std::size_t count_ = 0;
  std::size_t calls_ = 0;
};

}  // namespace

std::string seal_signature(std::string_view signature) {
  return std::string{signature_seal}.append(signature);
}
std::string seal_redacted(std::string_view data) { return std::string{redacted_seal}.append(data); }

std::string seal_of(const part& thought) {
  if (thought.kind == part_kind::redacted_thinking) return seal_redacted(thought.data);
  return thought.signature.empty() ? thought.encrypted_content : seal_signature(thought.signature);
}

void open_seal(std::string encrypted_content, part& thought) {
  if (encrypted_content.starts_with(signature_seal)) {
    thought.signature = encrypted_content.substr(signature_seal.size());
  } else if (encrypted_content.starts_with(redacted_seal)) {
    thought.kind = part_kind::redacted_thinking;
    thought.text.clear();
    thought.data = encrypted_content.substr(redacted_seal.size());
  } else {
    thought.encrypted_content = std::move(encrypted_content);
  }
}

std::string reasoning_text_of(json::value item) {
  std::string text = joined_texts(member_of(item, "content"));
  return text.empty() ? joined_texts(member_of(item, "summary")) : text;
}

bool is_tool_call(json::value item) {
  const std::string type = item.string_or("type", "");
  return type == "function_call" || type == "custom_tool_call";
}

part read_call_item(json::value item, std::size_t index) {
  part call = make_part(part_kind::tool_call);
  call.id = item.string_or("call_id", "");
  if (call.id.empty()) call.id = item.string_or("id", "");
  if (call.id.empty()) call.id = default_call_id(index);
  call.name = item.string_or("name", "");
  if (const auto input = member_of(item, "input"); input && input->is_string()) {
    json::writer{call.data}
        .begin_object()
        .member("input", std::string_view{*input->as_string()})
        .end_object();
  } else {
    call.data = arguments_as_text(arguments_of(member_of(item, "arguments")));
  }
  return call;
}

stream_error read_failure(json::value event) {
  const auto response = member_of(event, "response");
  const json::value holder = response && response->is_object() ? *response : event;
  const auto nested = member_of(holder, "error");
  stream_error out = read_stream_error(nested ? *nested : holder);
  // A flat event's own `type` is the word "error", which says nothing of the fault.
  if (!nested && out.type == "error") out.type.clear();
  if (out.message.empty()) out.message = event.string_or("message", "");
  return out;
}

finish_reason read_finish(json::value response, bool calls_tools) {
  const std::string status = response.string_or("status", "");
  const auto details = member_of(response, "incomplete_details");
  if (status == "incomplete" || (details && details->is_object())) {
    const std::string reason = details ? details->string_or("reason", "") : "";
    return reason == "content_filter" ? finish_reason::content_filter : finish_reason::length;
  }
  if (status == "queued" || status == "in_progress") return finish_reason::none;
  return calls_tools ? finish_reason::tool_use : finish_reason::stop;
}

std::expected<reply, complaint> decode_reply(json::value body) {
  const auto output = member_of(body, "output");
  if (!output || !output->is_array()) {
    return std::unexpected{complaint{"the reply has no output array", "output"}};
  }
  if (body.string_or("status", "") == "failed") {
    stream_error failed = read_failure(body);
    return std::unexpected{complaint{std::move(failed.message), "error"}};
  }
  reply out;
  out.id = body.string_or("id", "");
  out.model = body.string_or("model", "");
  out.created = seconds_of(body);
  std::size_t calls = 0;
  for (const json::value item : output->elements()) {
    const std::string type = item.string_or("type", "");
    if (type == "message") {
      read_message(item, out.parts);
    } else if (type == "reasoning") {
      read_reasoning(item, out.parts);
    } else if (is_tool_call(item)) {
      out.parts.push_back(read_call_item(item, calls++));
    }
  }
  out.finish = read_finish(body, calls != 0);
  out.tokens = read_openai_usage(member_of(body, "usage"));
  return out;
}

std::string encode_reply(const reply& r, const encode_context& context) {
  const std::string id = response_id(r.id, context);
  item_list items{id, r.finish};
  for (const part& p : r.parts) items.add(p);
  const std::string output = items.finish();
  std::string out;
  json::writer w{out};
  write_response(w,
                 response_object{.id = id,
                                 .status = status_of(r.finish),
                                 .finish = r.finish,
                                 .output = output,
                                 .tokens = &r.tokens,
                                 .created = r.created},
                 context);
  return out;
}

}  // namespace tidegate::protocol::dialect::responses
