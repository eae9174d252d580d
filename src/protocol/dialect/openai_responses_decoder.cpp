// Events of a Responses stream into canonical events. Vendors differ in what they send: some name the event
// in the data only, some send a whole item without deltas, some change an item's id on the way. So items are
// known by `output_index`, deltas count first, and whatever an item's end knows that no delta said is said
// then.
#include <algorithm>
#include <array>
#include <utility>

#include "protocol/dialect/openai_responses.h"
#include "protocol/dialect/shared.h"

namespace tidegate::protocol::dialect::responses {
namespace {

// Far above any real reply; a provider that passes it is broken.
constexpr std::size_t items_max = 4096;

enum class item_kind : std::uint8_t { other, message, reasoning, call, custom_call };

struct item_state {
  std::int64_t output_index = 0;
  item_kind kind = item_kind::other;
  std::uint32_t tool_index = 0;
  bool fragment_seen = false;  // since the last part_end
  bool anything_seen = false;  // in the whole item
  bool announced = false;      // of a call
  bool from_summary = false;   // which of two tellings of the same reasoning is passed on
  std::int64_t paragraph = 0;  // index of the summary or text part
};

item_kind kind_of(json::value item) {
  const std::string type = item.string_or("type", "");
  if (type == "message") return item_kind::message;
  if (type == "reasoning") return item_kind::reasoning;
  if (type == "function_call") return item_kind::call;
  if (type == "custom_tool_call") return item_kind::custom_call;
  return item_kind::other;
}

class decoder final : public stream_decoder {
 public:
  bool decode(const sse::event_view& event, std::vector<stream_event>& out) override {
    if (done_ || !event.dispatch || event.data == "[DONE]") return true;
    const auto data = json::parse(event.data);
    if (!data || !data->is_object()) return false;
    out_ = &out;
    dispatch(*data, data->string_or("type", event.type));
    return true;
  }

 private:
  using handler = void (decoder::*)(json::value);
  struct row {
    std::string_view type;
    handler call;
  };

  void dispatch(json::value data, std::string_view type) {
    static constexpr std::array<row, 15> table{{
        {"response.output_text.delta", &decoder::on_text},
        {"response.function_call_arguments.delta", &decoder::on_arguments},
        {"response.reasoning_summary_text.delta", &decoder::on_summary},
        {"response.reasoning_text.delta", &decoder::on_reasoning},
        {"response.refusal.delta", &decoder::on_refusal},
        {"response.output_item.added", &decoder::on_item_added},
        {"response.output_item.done", &decoder::on_item_done},
        {"response.content_part.done", &decoder::on_part_done},
        {"response.created", &decoder::on_start},
        {"response.in_progress", &decoder::on_start},
        {"response.queued", &decoder::on_start},
        {"response.completed", &decoder::on_end},
        {"response.incomplete", &decoder::on_end},
        {"response.failed", &decoder::on_failure},
        {"error", &decoder::on_failure},
    }};
    const auto found = std::ranges::find(table, type, &row::type);
    if (found != table.end()) {
      (this->*found->call)(data);
    } else if (type.empty() && member_of(data, "error")) {
      on_failure(data);
    }
  }

  stream_event& emit(stream_event_kind kind) {
    stream_event& e = out_->emplace_back();
    e.kind = kind;
    return e;
  }

  // Nothing comes before `start`, even where the provider forgot to say so.
  void start(json::value response) {
    if (std::exchange(started_, true)) return;
    stream_event& e = emit(stream_event_kind::start);
    e.id = response.string_or("id", "");
    e.name = response.string_or("model", "");
    e.tokens = read_openai_usage(member_of(response, "usage"));
  }

  void on_start(json::value data) { start(member_of(data, "response").value_or(json::value{})); }

  void fragment(item_state& item, stream_event_kind kind, std::string text) {
    start(json::value{});
    item.fragment_seen = item.anything_seen = content_seen_ = true;
    emit(kind).text = std::move(text);
  }

  void part_end(item_state& item) {
    if (std::exchange(item.fragment_seen, false)) emit(stream_event_kind::part_end);
  }

  item_state* item_of(json::value data, item_kind kind) {
    const std::int64_t index =
        data.int_at("output_index").value_or(items_.empty() ? 0 : items_.back().output_index);
    const auto found = std::find_if(items_.rbegin(), items_.rend(),
                                    [index](const item_state& i) { return i.output_index == index; });
    if (found != items_.rend()) return &*found;
    if (items_.size() == items_max) {
      fail(stream_error{"invalid_response", "", "the provider sent too many output items"});
      return nullptr;
    }
    items_.push_back(item_state{.output_index = index, .kind = kind});
    return &items_.back();
  }

  void on_delta(json::value data, item_kind kind, stream_event_kind event) {
    std::string text = data.string_or("delta", "");
    if (text.empty()) return;
    if (item_state* item = item_of(data, kind)) fragment(*item, event, std::move(text));
  }

  void on_text(json::value data) { on_delta(data, item_kind::message, stream_event_kind::text); }
  void on_refusal(json::value data) { on_delta(data, item_kind::message, stream_event_kind::refusal); }

  void on_summary(json::value data) { on_thought(data, true, "summary_index"); }
  void on_reasoning(json::value data) { on_thought(data, false, "content_index"); }

  void on_thought(json::value data, bool summary, std::string_view index_key) {
    std::string text = data.string_or("delta", "");
    item_state* const item = text.empty() ? nullptr : item_of(data, item_kind::reasoning);
    if (item == nullptr) return;
    if (!item->anything_seen) item->from_summary = summary;
    if (item->from_summary != summary) return;
    const std::int64_t paragraph = data.int_at(index_key).value_or(0);
    if (item->anything_seen && paragraph != item->paragraph) text.insert(0, reasoning_paragraph);
    item->paragraph = paragraph;
    fragment(*item, stream_event_kind::thinking, std::move(text));
  }

  void on_arguments(json::value data) {
    std::string text = data.string_or("delta", "");
    item_state* const item = text.empty() ? nullptr : item_of(data, item_kind::other);
    // Arguments of a call nobody announced belong to nothing.
    if (item == nullptr || item->kind != item_kind::call) return;
    arguments(*item, std::move(text));
  }

  void arguments(item_state& item, std::string text) {
    item.anything_seen = true;
    stream_event& e = emit(stream_event_kind::tool_arguments);
    e.index = item.tool_index;
    e.text = std::move(text);
  }

  void on_item_added(json::value data) {
    const auto given = member_of(data, "item");
    if (given) announce(data, *given);
  }

  // Tells of a call, once; nothing for the items of the vendor's own tools.
  item_state* announce(json::value data, json::value given) {
    item_state* const item = item_of(data, kind_of(given));
    if (item == nullptr) return nullptr;
    if (item->kind == item_kind::other) item->kind = kind_of(given);
    if (!is_tool_call(given) || std::exchange(item->announced, true)) return item;
    start(json::value{});
    item->tool_index = calls_++;
    content_seen_ = true;
    part call = read_call_item(given, item->tool_index);
    stream_event& e = emit(stream_event_kind::tool_start);
    e.index = item->tool_index;
    e.id = std::move(call.id);
    e.name = std::move(call.name);
    return item;
  }

  void on_part_done(json::value data) {
    const json::value given = member_of(data, "part").value_or(json::value{});
    const std::string type = given.string_or("type", "");
    if (type != "output_text" && type != "refusal") return;
    item_state* const item = item_of(data, item_kind::message);
    if (item == nullptr || item->kind != item_kind::message) return;
    if (!item->fragment_seen) say_part(*item, given);
    part_end(*item);
  }

  void say_part(item_state& item, json::value given) {
    if (std::string text = given.string_or("text", ""); !text.empty()) {
      fragment(item, stream_event_kind::text, std::move(text));
    } else if (std::string refusal = given.string_or("refusal", ""); !refusal.empty()) {
      fragment(item, stream_event_kind::refusal, std::move(refusal));
    }
  }

  void on_item_done(json::value data) {
    const auto given = member_of(data, "item");
    if (!given) return;
    item_state* const item = announce(data, *given);
    if (item == nullptr) return;
    switch (item->kind) {
      case item_kind::message:
        end_message(*item, *given);
        break;
      case item_kind::reasoning:
        end_reasoning(*item, *given);
        break;
      case item_kind::call:
      case item_kind::custom_call:
        end_call(*item, *given);
        break;
      case item_kind::other:
        break;
    }
  }

  void end_message(item_state& item, json::value given) {
    if (!item.anything_seen) {
      const auto content = member_of(given, "content");
      for (const json::value each : content.value_or(json::value{}).elements()) {
        say_part(item, each);
        part_end(item);
      }
    }
    part_end(item);
  }

  void end_reasoning(item_state& item, json::value given) {
    if (!item.anything_seen) {
      std::string text = reasoning_text_of(given);
      if (!text.empty()) fragment(item, stream_event_kind::thinking, std::move(text));
    }
    part thought;
    open_seal(given.string_or("encrypted_content", ""), thought);
    if (!thought.signature.empty()) {
      fragment(item, stream_event_kind::thinking_signature, std::move(thought.signature));
    }
    part_end(item);
    if (thought.kind != part_kind::redacted_thinking) return;
    start(json::value{});
    content_seen_ = true;
    emit(stream_event_kind::redacted_thinking).text = std::move(thought.data);
  }

  void end_call(item_state& item, json::value given) {
    if (std::exchange(item.anything_seen, true)) return;
    std::string text = arguments_of(member_of(given, "arguments"));
    if (item.kind == item_kind::custom_call) text = read_call_item(given, item.tool_index).data;
    if (!text.empty()) arguments(item, std::move(text));
  }

  // A provider that sent nothing but the end has everything in it.
  void say_all(json::value response) {
    if (content_seen_) return;
    items_.clear();
    const auto output = member_of(response, "output");
    std::int64_t index = 0;
    for (const json::value item : output.value_or(json::value{}).elements()) {
      std::string wrapped;
      json::writer w{wrapped};
      w.begin_object().member("output_index", index++).key("item").raw(item.raw()).end_object();
      on_item_done(json::value{wrapped});
      if (done_) return;
    }
  }

  void say_usage(json::value response) {
    const usage tokens = read_openai_usage(member_of(response, "usage"));
    if (tokens.known) emit(stream_event_kind::usage).tokens = tokens;
  }

  void on_end(json::value data) {
    const json::value response = member_of(data, "response").value_or(json::value{});
    start(response);
    say_all(response);
    if (done_) return;
    say_usage(response);
    finish_reason finish = read_finish(response, calls_ != 0);
    if (data.string_or("type", "") == "response.incomplete" && finish == finish_reason::stop) {
      finish = finish_reason::length;
    }
    emit(stream_event_kind::finish).finish = finish;
    emit(stream_event_kind::end);
    done_ = true;
  }

  void on_failure(json::value data) {
    say_usage(member_of(data, "response").value_or(json::value{}));
    fail(read_failure(data));
  }

  void fail(stream_error error) {
    stream_event& e = emit(stream_event_kind::error);
    e.text = std::move(error.message);
    e.error_type = std::move(error.type);
    e.error_code = std::move(error.code);
    done_ = true;
  }

  std::vector<stream_event>* out_ = nullptr;
  std::vector<item_state> items_;
  std::uint32_t calls_ = 0;
  bool started_ = false;
  bool content_seen_ = false;
  bool done_ = false;
};

}  // namespace

std::unique_ptr<stream_decoder> make_decoder() { return std::make_unique<decoder>(); }

}  // namespace tidegate::protocol::dialect::responses
