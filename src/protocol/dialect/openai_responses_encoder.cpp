// Canonical events into a Responses stream. A message or reasoning item is closed when another kind of item
// begins; calls stay open until the reply's end, for other dialects may interleave the arguments of parallel
// calls. The dialect repeats all text in its closing events, so the encoder keeps what it wrote, up to
// kept_bytes_max.
#include <algorithm>
#include <optional>
#include <utility>

#include "protocol/dialect/openai_responses.h"
#include "protocol/dialect/shared.h"

namespace tidegate::protocol::dialect::responses {
namespace {

constexpr std::size_t kept_bytes_max = 64U << 20U;
constexpr std::size_t items_max = 4096;

// Where an item stands in the stream.
struct item_place {
  std::size_t index = 0;
  std::string id;
};

struct open_message {
  item_place place;
  std::string content;  // JSON of the parts that ended
  std::size_t part_index = 0;
  std::optional<part_kind> part;  // the one that is open
  std::string text;
};

struct open_reasoning {
  item_place place;
  std::string text;
  std::string seal;
  bool part_open = false;
};

struct open_call {
  item_place place;
  std::uint32_t index = 0;
  part call;
};

class encoder final : public stream_encoder {
 public:
  explicit encoder(encode_context context) : context_{std::move(context)} {}

  void encode(const stream_event& event, std::string& out) override {
    if (closed_) return;
    out_ = &out;
    if (event.kind == stream_event_kind::error) return fail(event);
    start(event);
    kept_bytes_ += event.text.size();
    if (kept_bytes_ > kept_bytes_max || items_.size() >= items_max) {
      stream_event too_large;
      too_large.text = "the provider's reply is too large";
      too_large.error_type = "server_error";
      return fail(too_large);
    }
    take(event);
  }

 private:
  void take(const stream_event& event) {
    switch (event.kind) {
      case stream_event_kind::text:
        return spoken(part_kind::text, event.text);
      case stream_event_kind::refusal:
        return spoken(part_kind::refusal, event.text);
      case stream_event_kind::thinking:
        return thinking(event.text);
      case stream_event_kind::thinking_signature:
        return signature(event.text);
      case stream_event_kind::redacted_thinking:
        return redacted(event.text);
      case stream_event_kind::tool_start:
        return tool_start(event);
      case stream_event_kind::tool_arguments:
        return tool_arguments(event);
      case stream_event_kind::part_end:
        close_part();
        return close_reasoning();
      case stream_event_kind::start:
      case stream_event_kind::usage:
        if (event.tokens.known) tokens_ = event.tokens;
        return;
      case stream_event_kind::finish:
        finish_ = event.finish;
        return close_all();
      case stream_event_kind::end:
        return end();
      case stream_event_kind::error:
        return;
    }
  }

  // One event: type and sequence number, then what `body` adds.
  template <class Body>
  void write(std::string_view type, Body body) {
    data_.clear();
    json::writer w{data_};
    w.begin_object().member("type", type).member("sequence_number", sequence_++);
    body(w);
    w.end_object();
    sse::append_event(*out_, type, data_);
  }

  // An event of one item.
  template <class Body>
  void write_at(std::string_view type, const item_place& place, Body body) {
    write(type, [&](json::writer& w) {
      w.member("item_id", std::string_view{place.id})
          .member("output_index", static_cast<std::int64_t>(place.index));
      body(w);
    });
  }

  // An event that shows an item as it stands.
  void write_item(std::string_view type, const item_place& place, std::string_view item) {
    write(type, [&](json::writer& w) {
      w.member("output_index", static_cast<std::int64_t>(place.index)).key("item").raw(item);
    });
  }

  void write_lifecycle(std::string_view type, response_status status, std::string_view output) {
    write(type, [&](json::writer& w) {
      w.key("response");
      write_response(w,
                     response_object{.id = response_id_,
                                     .status = status,
                                     .finish = finish_,
                                     .output = output,
                                     .tokens = status == response_status::in_progress ? nullptr : &tokens_},
                     context_);
    });
  }

  void start(const stream_event& event) {
    if (std::exchange(started_, true)) return;
    response_id_ = response_id(event.kind == stream_event_kind::start ? event.id : std::string{}, context_);
    write_lifecycle("response.created", response_status::in_progress, "[]");
    write_lifecycle("response.in_progress", response_status::in_progress, "[]");
  }

  item_place next_place(std::string_view prefix) {
    items_.emplace_back();
    return item_place{items_.size() - 1, item_id(prefix, response_id_, items_.size() - 1)};
  }

  void done(const item_place& place, std::string item) {
    write_item("response.output_item.done", place, item);
    items_[place.index] = std::move(item);
  }

  // --- messages

  void spoken(part_kind kind, std::string_view text) {
    if (text.empty()) return;
    close_reasoning();
    if (!message_) begin_message();
    if (message_->part != kind) {
      close_part();
      begin_part(kind);
    }
    message_->text += text;
    const bool refusal = kind == part_kind::refusal;
    write_at(
        refusal ? "response.refusal.delta" : "response.output_text.delta", message_->place,
        [&](json::writer& w) {
          w.member("content_index", static_cast<std::int64_t>(message_->part_index)).member("delta", text);
          if (!refusal) w.key("logprobs").begin_array().end_array();
        });
  }

  void begin_message() {
    message_.emplace().place = next_place("msg");
    std::string item;
    json::writer w{item};
    write_message_item(w, message_->place.id, "in_progress", "");
    write_item("response.output_item.added", message_->place, item);
  }

  void begin_part(part_kind kind) {
    message_->part = kind;
    message_->text.clear();
    write_part("response.content_part.added", part_json());
  }

  std::string part_json() const {
    std::string out;
    json::writer w{out};
    message_->part == part_kind::refusal ? write_refusal_part(w, message_->text)
                                         : write_text_part(w, message_->text);
    return out;
  }

  void write_part(std::string_view type, std::string_view part) {
    write_at(type, message_->place, [&](json::writer& w) {
      w.member("content_index", static_cast<std::int64_t>(message_->part_index)).key("part").raw(part);
    });
  }

  void close_part() {
    if (!message_ || !message_->part) return;
    const bool refusal = *message_->part == part_kind::refusal;
    write_at(refusal ? "response.refusal.done" : "response.output_text.done", message_->place,
             [&](json::writer& w) {
               w.member("content_index", static_cast<std::int64_t>(message_->part_index));
               w.member(refusal ? "refusal" : "text", std::string_view{message_->text});
               if (!refusal) w.key("logprobs").begin_array().end_array();
             });
    const std::string part = part_json();
    write_part("response.content_part.done", part);
    if (!message_->content.empty()) message_->content += ',';
    message_->content += part;
    message_->part.reset();
    ++message_->part_index;
  }

  void close_message() {
    close_part();
    if (!message_) return;
    std::string item;
    json::writer w{item};
    write_message_item(w, message_->place.id, item_status_of(finish_), message_->content);
    done(message_->place, std::move(item));
    message_.reset();
  }

  // --- reasoning

  void open_thought() {
    close_message();
    if (reasoning_) return;
    reasoning_.emplace().place = next_place("rs");
    std::string item;
    json::writer w{item};
    write_reasoning_item(w, reasoning_->place.id, "", "");
    write_item("response.output_item.added", reasoning_->place, item);
  }

  // Summary events of the one summary part that an item has here.
  template <class Body>
  void write_summary(std::string_view type, Body body) {
    write_at(type, reasoning_->place, [&](json::writer& w) {
      w.member("summary_index", 0);
      body(w);
    });
  }

  void write_summary_part(std::string_view type) {
    write_summary(type, [&](json::writer& w) {
      w.key("part").begin_object().member("type", "summary_text");
      w.member("text", std::string_view{reasoning_->text}).end_object();
    });
  }

  void thinking(std::string_view text) {
    if (text.empty()) return;
    // Words behind a signature are not what was signed: they belong to another thought.
    if (reasoning_ && !reasoning_->seal.empty()) close_reasoning();
    open_thought();
    if (!std::exchange(reasoning_->part_open, true))
      write_summary_part("response.reasoning_summary_part.added");
    reasoning_->text += text;
    write_summary("response.reasoning_summary_text.delta", [&](json::writer& w) { w.member("delta", text); });
  }

  void signature(std::string_view text) {
    if (text.empty()) return;
    open_thought();
    if (reasoning_->seal.empty()) reasoning_->seal = seal_signature("");
    reasoning_->seal += text;
  }

  void redacted(std::string_view data) {
    close_reasoning();
    open_thought();
    reasoning_->seal = seal_redacted(data);
    close_reasoning();
  }

  void close_reasoning() {
    if (!reasoning_) return;
    if (reasoning_->part_open) {
      write_summary("response.reasoning_summary_text.done",
                    [&](json::writer& w) { w.member("text", std::string_view{reasoning_->text}); });
      write_summary_part("response.reasoning_summary_part.done");
    }
    std::string item;
    json::writer w{item};
    write_reasoning_item(w, reasoning_->place.id, reasoning_->text, reasoning_->seal);
    done(reasoning_->place, std::move(item));
    reasoning_.reset();
  }

  // --- calls

  void tool_start(const stream_event& event) {
    close_message();
    close_reasoning();
    open_call& added = calls_.emplace_back(next_place("fc"), event.index, make_part(part_kind::tool_call));
    added.call.id = event.id.empty() ? default_call_id(event.index) : event.id;
    added.call.name = event.name;
    std::string item;
    json::writer w{item};
    write_call_item(w, added.place.id, "in_progress", added.call);
    write_item("response.output_item.added", added.place, item);
  }

  void tool_arguments(const stream_event& event) {
    const auto found = std::find_if(calls_.rbegin(), calls_.rend(),
                                    [&event](const open_call& c) { return c.index == event.index; });
    if (found != calls_.rend() && !event.text.empty()) add_arguments(*found, event.text);
  }

  void add_arguments(open_call& to, std::string_view text) {
    to.call.data += text;
    write_at("response.function_call_arguments.delta", to.place,
             [text](json::writer& w) { w.member("delta", text); });
  }

  void close_calls() {
    for (open_call& c : calls_) {
      if (const std::string_view text = arguments_as_text(c.call.data); text.data() != c.call.data.data()) {
        c.call.data.clear();
        add_arguments(c, text);
      }
      write_at("response.function_call_arguments.done", c.place, [&c](json::writer& w) {
        w.member("arguments", std::string_view{c.call.data}).member("name", std::string_view{c.call.name});
      });
      std::string item;
      json::writer w{item};
      write_call_item(w, c.place.id, item_status_of(finish_), c.call);
      done(c.place, std::move(item));
    }
    calls_.clear();
  }

  // --- ends

  void close_all() {
    close_message();
    close_reasoning();
    close_calls();
  }

  void end() {
    close_all();
    std::string output = "[";
    for (const std::string& item : items_) {
      if (output.size() > 1) output += ',';
      output += item;
    }
    output += ']';
    const response_status status = status_of(finish_);
    const bool whole = status == response_status::completed;
    write_lifecycle(whole ? "response.completed" : "response.incomplete", status, output);
    closed_ = true;
  }

  void fail(const stream_event& event) {
    const std::string_view type =
        event.error_type.empty() ? std::string_view{"server_error"} : event.error_type;
    std::string nested;
    json::writer w{nested};
    w.begin_object().member("type", type).key("code");
    event.error_code.empty() ? w.null() : w.string(event.error_code);
    w.member("message", std::string_view{event.text}).key("param").null().end_object();
    append_error_event(*out_, sequence_++, event.error_code.empty() ? type : event.error_code, event.text, "",
                       nested);
    closed_ = true;
  }

  encode_context context_;
  std::string response_id_;
  std::string* out_ = nullptr;
  std::string data_;
  std::vector<std::string> items_;  // finished items by output index; an open one is empty
  std::optional<open_message> message_;
  std::optional<open_reasoning> reasoning_;
  std::vector<open_call> calls_;
  usage tokens_;
  finish_reason finish_ = finish_reason::none;
  std::int64_t sequence_ = 0;
  std::size_t kept_bytes_ = 0;
  bool started_ = false;
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<stream_encoder> make_encoder(encode_context context) {
  return std::make_unique<encoder>(std::move(context));
}

}  // namespace tidegate::protocol::dialect::responses
