#include <algorithm>
#include <utility>
#include <vector>

#include "protocol/dialect/anthropic_messages.h"

namespace tidegate::protocol::dialect::anthropic {
namespace {

// The vendor has one block open at a time; a stream that opens more than these at once is not worth
// following.
constexpr std::size_t open_blocks_max = 64;

std::string text_of(const std::optional<json::value>& v) {
  return v ? v->as_string().value_or("") : std::string{};
}

class messages_decoder final : public stream_decoder {
 public:
  bool decode(const sse::event_view& event, std::vector<stream_event>& out) override;

 private:
  enum class block_kind : std::uint8_t { text, thinking, tool, other };
  struct open_block {
    std::int64_t index = 0;
    block_kind kind = block_kind::other;
    std::uint32_t tool = 0;
    bool has_arguments = false;
    std::string input;  // what the start of a tool block brought along already; "{}" as a rule
  };

  void on_message_start(json::value body, std::vector<stream_event>& out);
  bool on_block_start(json::value body, std::vector<stream_event>& out);
  void on_block_delta(json::value body, std::vector<stream_event>& out);
  void on_block_stop(json::value body, std::vector<stream_event>& out);
  void on_message_delta(json::value body, std::vector<stream_event>& out);
  static void on_error(json::value body, std::vector<stream_event>& out);

  open_block* find(json::value body) {
    const auto index = body.int_at("index").value_or(0);
    const auto found = std::ranges::find(open_, index, &open_block::index);
    return found == open_.end() ? nullptr : &*found;
  }
  static void add_text(stream_event_kind kind, std::string text, std::vector<stream_event>& out) {
    if (text.empty()) return;
    stream_event& e = out.emplace_back();
    e.kind = kind;
    e.text = std::move(text);
  }

  std::vector<open_block> open_;
  std::uint32_t tools_ = 0;
  bool started_ = false;
  usage tokens_;
};

bool messages_decoder::decode(const sse::event_view& event, std::vector<stream_event>& out) {
  if (!event.dispatch || event.data == "[DONE]") return true;
  const auto body = json::parse(event.data);
  if (!body || !body->is_object()) return false;
  const auto type_value = body->find("type");
  const std::string type = type_value ? type_value->as_string().value_or("") : std::string{event.type};
  if (type == "content_block_delta")
    on_block_delta(*body, out);
  else if (type == "content_block_start")
    return on_block_start(*body, out);
  else if (type == "content_block_stop")
    on_block_stop(*body, out);
  else if (type == "message_start")
    on_message_start(*body, out);
  else if (type == "message_delta")
    on_message_delta(*body, out);
  else if (type == "message_stop")
    out.emplace_back().kind = stream_event_kind::end;
  else if (type == "error" || body->find("error"))
    on_error(*body, out);
  return true;  // ping and events of a later API are nothing to other dialects
}

// Some gateways repeat message_start, or splice a second message behind a broken first one. The reply goes
// on: the blocks of the first are closed as they are, and those that follow are new ones.
void messages_decoder::on_message_start(json::value body, std::vector<stream_event>& out) {
  const json::value message = body.find("message").value_or(json::value{});
  if (const auto reported = message.find("usage")) tokens_ = merge_usage(tokens_, *reported);
  open_.clear();
  if (started_) return;
  started_ = true;
  stream_event& e = out.emplace_back();
  e.kind = stream_event_kind::start;
  e.id = message.string_or("id", "");
  e.name = message.string_or("model", "");
  e.tokens = tokens_;
}

bool messages_decoder::on_block_start(json::value body, std::vector<stream_event>& out) {
  if (open_.size() >= open_blocks_max) return false;
  const json::value content = body.find("content_block").value_or(json::value{});
  const auto [type, text, thinking, data, id, name, input] = pick(
      content, std::array<std::string_view, 7>{"type", "text", "thinking", "data", "id", "name", "input"});
  open_block added;
  added.index = body.int_at("index").value_or(0);
  if (!type) {
    // An unknown block; its deltas are skipped with it.
  } else if (type->equals("text")) {
    added.kind = block_kind::text;
    add_text(stream_event_kind::text, text_of(text), out);
  } else if (type->equals("thinking")) {
    added.kind = block_kind::thinking;
    add_text(stream_event_kind::thinking, text_of(thinking), out);
  } else if (type->equals("redacted_thinking")) {
    add_text(stream_event_kind::redacted_thinking, text_of(data), out);
  } else if (type->equals("tool_use")) {
    added.kind = block_kind::tool;
    added.tool = tools_++;
    if (input && input->is_object()) added.input = std::string{input->raw()};
    stream_event& e = out.emplace_back();
    e.kind = stream_event_kind::tool_start;
    e.index = added.tool;
    e.id = text_of(id);
    e.name = text_of(name);
  }
  std::erase_if(open_, [&](const open_block& b) { return b.index == added.index; });
  open_.push_back(std::move(added));
  return true;
}

void messages_decoder::on_block_delta(json::value body, std::vector<stream_event>& out) {
  const json::value delta = body.find("delta").value_or(json::value{});
  const auto type = delta.find("type");
  if (!type) return;
  open_block* block = find(body);
  // Text of a block that was never opened is still text; arguments without a call belong to nobody.
  if (type->equals("text_delta")) {
    if (block == nullptr || block->kind == block_kind::text) {
      add_text(stream_event_kind::text, text_of(delta.find("text")), out);
    }
  } else if (type->equals("thinking_delta")) {
    add_text(stream_event_kind::thinking, text_of(delta.find("thinking")), out);
  } else if (type->equals("signature_delta")) {
    add_text(stream_event_kind::thinking_signature, text_of(delta.find("signature")), out);
  } else if (type->equals("input_json_delta") && block != nullptr && block->kind == block_kind::tool) {
    std::string fragment = text_of(delta.find("partial_json"));
    if (fragment.empty()) return;
    block->has_arguments = true;
    add_text(stream_event_kind::tool_arguments, std::move(fragment), out);
    out.back().index = block->tool;
  }
}

void messages_decoder::on_block_stop(json::value body, std::vector<stream_event>& out) {
  open_block* block = find(body);
  if (block == nullptr) return;
  if (block->kind == block_kind::text || block->kind == block_kind::thinking) {
    out.emplace_back().kind = stream_event_kind::part_end;
  } else if (block->kind == block_kind::tool && !block->has_arguments) {
    add_text(stream_event_kind::tool_arguments, block->input.empty() ? "{}" : std::move(block->input), out);
    out.back().index = block->tool;
  }
  const std::int64_t index = block->index;
  std::erase_if(open_, [&](const open_block& b) { return b.index == index; });
}

void messages_decoder::on_message_delta(json::value body, std::vector<stream_event>& out) {
  const auto [delta, reported] = pick(body, std::array<std::string_view, 2>{"delta", "usage"});
  if (reported) {
    tokens_ = merge_usage(tokens_, *reported);
    stream_event& e = out.emplace_back();
    e.kind = stream_event_kind::usage;
    e.tokens = tokens_;
  }
  const auto stop_reason = delta ? delta->find("stop_reason") : std::nullopt;
  if (!stop_reason || !stop_reason->is_string()) return;
  stream_event& e = out.emplace_back();
  e.kind = stream_event_kind::finish;
  e.finish = finish_of(stop_reason->as_string().value_or(""));
  if (e.finish == finish_reason::stop_sequence) e.text = text_of(delta->find("stop_sequence"));
}

void messages_decoder::on_error(json::value body, std::vector<stream_event>& out) {
  const json::value error = body.find("error").value_or(json::value{});
  stream_event& e = out.emplace_back();
  e.kind = stream_event_kind::error;
  stream_error told = read_stream_error(error);
  e.error_type = std::move(told.type);
  e.error_code = std::move(told.code);
  e.text = std::move(told.message);
}

}  // namespace

std::unique_ptr<stream_decoder> make_decoder() { return std::make_unique<messages_decoder>(); }

}  // namespace tidegate::protocol::dialect::anthropic
