#include "protocol/dialect/prompt_estimate.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "foundation/text.h"
#include "protocol/dialect/cursor.h"
#include "protocol/dialect/shared.h"

namespace tidegate::protocol::dialect {
namespace {

// How a member of a message, an item, a piece of content, a call or a tool counts.
enum class meaning : std::uint8_t {
  unknown,  // words; in a reply the vendor's notes, which nobody was paid to say
  words,    // a string decoded, anything else as its JSON
  label,    // nothing, while it is as short as labels are
  content,  // a string, a piece, or a list of pieces
  entity,   // an object whose members are looked at one by one
  image,    // a URL or data, by itself or in an object
  recording,
  document,
  file,    // a file by id, of the kind that its owner's type says
  source,  // Anthropic's source of an image or a document
  seal,
  data,       // a seal in redacted reasoning, else words
  result,     // an image that the vendor made, else words
  reasoning,  // one text under several names: the longest counts
};

struct member_rule {
  std::string_view key;
  meaning counts;
};

// The usual ones first: this is searched for every member of every message.
constexpr std::array member_rules{
    member_rule{"role", meaning::label},
    member_rule{"content", meaning::content},
    member_rule{"type", meaning::label},
    member_rule{"text", meaning::words},
    member_rule{"tool_calls", meaning::content},
    member_rule{"function", meaning::entity},
    member_rule{"name", meaning::words},
    member_rule{"description", meaning::words},
    member_rule{"input", meaning::words},
    member_rule{"arguments", meaning::words},
    member_rule{"id", meaning::label},
    member_rule{"tool_call_id", meaning::label},
    member_rule{"tool_use_id", meaning::label},
    member_rule{"call_id", meaning::label},
    member_rule{"status", meaning::label},
    member_rule{"output", meaning::content},
    member_rule{"cache_control", meaning::label},
    member_rule{"image_url", meaning::image},
    member_rule{"source", meaning::source},
    member_rule{"thinking", meaning::content},
    member_rule{"summary", meaning::content},
    member_rule{"signature", meaning::seal},
    member_rule{"encrypted_content", meaning::seal},
    member_rule{"reasoning_content", meaning::reasoning},
    member_rule{"reasoning", meaning::reasoning},
    member_rule{"reasoning_details", meaning::reasoning},
    member_rule{"refusal", meaning::words},
    member_rule{"function_call", meaning::entity},
    member_rule{"custom", meaning::entity},
    member_rule{"json_schema", meaning::entity},
    member_rule{"file", meaning::entity},
    member_rule{"file_data", meaning::document},
    member_rule{"file_url", meaning::document},
    member_rule{"file_id", meaning::file},
    member_rule{"document_url", meaning::document},
    member_rule{"input_audio", meaning::recording},
    member_rule{"audio", meaning::recording},
    member_rule{"video_url", meaning::recording},
    member_rule{"data", meaning::data},
    member_rule{"result", meaning::result},
    member_rule{"detail", meaning::label},
    member_rule{"format", meaning::label},
    member_rule{"media_type", meaning::label},
    member_rule{"index", meaning::label},
    member_rule{"is_error", meaning::label},
    member_rule{"strict", meaning::label},
    member_rule{"phase", meaning::label},
    member_rule{"citations", meaning::label},
    member_rule{"annotations", meaning::label},
    member_rule{"logprobs", meaning::label},
};

constexpr std::size_t label_bytes_max = 128;
// Of lists and objects. A document made of pieces in a tool's result in a message is nine deep; what is
// deeper is no dialect's and counts as its JSON.
constexpr int depth_of_meaning = 12;

std::int64_t size_of(std::string_view text) { return static_cast<std::int64_t>(text.size()); }
std::int64_t decoded_size(std::string_view base64) { return size_of(base64) / 4 * 3 + size_of(base64) % 4; }

bool is_plain_text(std::string_view media_type) {
  return media_type.starts_with("text/") || media_type == "application/json" ||
         media_type == "application/xml";
}

meaning meaning_of(std::string_view key) {
  const auto* const rule = std::ranges::find(member_rules, key, &member_rule::key);
  return rule != member_rules.end() ? rule->counts : meaning::unknown;
}

bool has_escape(std::string_view key) { return key.find('\\') != std::string_view::npos; }

// The object under way. Its type is looked for once, and only if some member asks: often it has none, and a
// caller may repeat the members that ask.
class owner {
 public:
  // `object`: text that begins with one.
  explicit owner(std::string_view object) : object_{object} {}

  bool is(std::string_view word) {
    if (!type_) {
      const auto found = json::value{object_}.find("type");
      type_ = found && found->is_string() ? found->raw() : std::string_view{};
    }
    return type_->find(word) != std::string_view::npos;
  }

 private:
  std::string_view object_;
  std::optional<std::string_view> type_;
};

// Counts what is handed on, so that a seal can be weighed against the words beside it.
class weighed_text final : public text_sink {
 public:
  explicit weighed_text(text_sink& to) : to_{to} {}
  void text(std::string_view piece) override {
    bytes_ += size_of(piece);
    to_.text(piece);
  }
  std::int64_t bytes() const { return bytes_; }

 private:
  text_sink& to_;
  std::int64_t bytes_ = 0;
};

class walker {
 public:
  explicit walker(prompt_sink& sink, bool unknown_counts = true)
      : sink_{sink}, unknown_counts_{unknown_counts} {}

  // Each moves behind the value it is at.
  void content(cursor& at, int depth = 0);
  void entity(cursor& at, int depth);
  void words(std::string_view json);

  void content(std::optional<json::value> v) {
    if (!v) return;
    cursor at{v->raw()};
    content(at);
  }

 private:
  void member(owner& whose, meaning counts, cursor& at, int depth);
  void media(media_kind kind, cursor& at);
  void media_bytes(media_kind kind, std::string_view url_or_data, std::string_view media_type = {});
  void source(json::value v, media_kind kind, int depth);
  void unknown(std::string_view json) {
    if (unknown_counts_) words(json);
  }
  void label(std::string_view json) {
    if (json.size() > label_bytes_max) unknown(json);
  }
  void seal(std::string_view json) {
    if (!json.starts_with('"')) return words(json);
    sealed_ += decoded_size(inside_of(json));
  }

  prompt_sink& sink_;
  weighed_text text_{sink_};
  std::int64_t sealed_ = 0;  // bytes, of the entity under way
  bool unknown_counts_;
};

void walker::words(std::string_view json) {
  if (json.starts_with('"')) {
    hand_over(inside_of(json), text_);
  } else if (json != "null" && !json.empty()) {
    text_.text(json);
  }
}

void walker::content(cursor& at, int depth) {
  const char first = at.next();
  if (first == '"') return hand_over(at.string(), text_);
  if (first == '{') return entity(at, depth + 1);
  if (first != '[' || depth >= depth_of_meaning) return words(at.value());
  at.elements([&] { content(at, depth + 1); });
}

void walker::entity(cursor& at, int depth) {
  if (at.next() != '{' || depth >= depth_of_meaning) return words(at.value());
  owner whose{at.rest()};
  const std::int64_t words_before = text_.bytes();
  const std::int64_t outer_seal = std::exchange(sealed_, 0);
  std::string_view reasoning;
  at.members([&](std::string_view key) {
    const meaning counts = has_escape(key) ? meaning_of(json::unescape(key)) : meaning_of(key);
    if (counts != meaning::reasoning) return member(whose, counts, at, depth);
    if (const std::string_view json = at.value(); json.size() > reasoning.size()) reasoning = json;
  });
  if (!reasoning.empty()) {
    cursor inside{reasoning};
    content(inside, depth);
  }
  const std::int64_t beyond = sealed_ - (text_.bytes() - words_before);
  if (beyond > 0) sink_.media({media_kind::sealed, beyond});
  sealed_ = outer_seal;
}

void walker::member(owner& whose, meaning counts, cursor& at, int depth) {
  switch (counts) {
    case meaning::unknown:
      return unknown(at.value());
    case meaning::words:
    case meaning::reasoning:
      return words(at.value());
    case meaning::label:
      return label(at.value());
    case meaning::content:
      return content(at, depth);
    case meaning::entity:
      return entity(at, depth + 1);
    case meaning::image:
      return media(media_kind::image, at);
    case meaning::recording:
      return media(media_kind::recording, at);
    case meaning::document:
      return media(media_kind::document, at);
    case meaning::file:
      return media(whose.is("image") ? media_kind::image : media_kind::document, at);
    case meaning::source:
      return source(json::value{at.value()}, whose.is("document") ? media_kind::document : media_kind::image,
                    depth);
    case meaning::data:
      return whose.is("redacted") || whose.is("encrypted") ? seal(at.value()) : words(at.value());
    case meaning::seal:
      return seal(at.value());
    case meaning::result:
      return whose.is("image_generation") ? media(media_kind::image, at) : words(at.value());
  }
}

// A URL or data by itself, or in an object beside its labels.
void walker::media(media_kind kind, cursor& at) {
  const char first = at.next();
  if (first == '"') return media_bytes(kind, at.string());
  if (first != '{') return words(at.value());
  bool found = false;
  at.members([&](std::string_view key) {
    const std::string_view json = at.value();
    if (json.starts_with('"') && (key == "url" || key == "data")) {
      media_bytes(kind, inside_of(json));
      found = true;
    } else if (key == "transcript") {
      words(json);
    } else {
      label(json);
    }
  });
  if (!found) sink_.media({kind, 0});  // by an id
}

void walker::media_bytes(media_kind kind, std::string_view url_or_data, std::string_view media_type) {
  std::int64_t bytes = 0;
  if (const auto inside = parse_data_url(url_or_data)) {
    bytes = decoded_size(inside->data);
    media_type = inside->media_type;
  } else if (foundation::istarts_with(url_or_data, "data:")) {
    bytes = size_of(url_or_data);
  } else if (url_or_data.substr(0, 16).find("://") == std::string_view::npos) {
    bytes = decoded_size(url_or_data);
  }
  if (kind == media_kind::document && is_plain_text(media_type)) {
    sink_.tokens((bytes + 3) / 4);
  } else {
    sink_.media({kind, bytes});
  }
}

void walker::source(json::value v, media_kind kind, int depth) {
  if (!v.is_object()) return words(v.raw());
  const bool inline_data = owner{v.raw()}.is("base64");
  std::string media_type;
  if (inline_data) media_type = v.string_or("media_type", "");
  for (const json::member& m : v.members()) {
    const std::string_view json = m.content.raw();
    if (m.key_is("data") && inline_data && m.content.is_string()) {
      media_bytes(kind, inside_of(json), media_type);
    } else if (m.key_is("url") || m.key_is("file_id")) {
      sink_.media({kind, 0});
    } else if (m.key_is("content")) {
      cursor inside{json};
      content(inside, depth);
    } else if (m.key_is("type") || m.key_is("media_type")) {
      label(json);
    } else {
      unknown(json);
    }
  }
}

// Members of a body that hold its prompt.
bool holds_prompt(dialect_id speaks, std::string_view key) {
  switch (speaks) {
    case dialect_id::openai_chat:
      return key == "messages" || key == "tools" || key == "functions" || key == "response_format" ||
             key == "prediction";
    case dialect_id::openai_responses:
      return key == "input" || key == "instructions" || key == "tools" || key == "prompt";
    case dialect_id::anthropic_messages:
      return key == "messages" || key == "system" || key == "tools" || key == "output_format";
  }
  return false;
}

// Members that hold an output format among other settings.
bool holds_format(dialect_id speaks, std::string_view key) {
  return (speaks == dialect_id::openai_responses && key == "text") ||
         (speaks == dialect_id::anthropic_messages && key == "output_config");
}

// The byte that a two-character escape stands for.
char escaped_byte(char letter) {
  switch (letter) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return letter;
  }
}

// The length of a \uXXXX at the head of `text`, or of the surrogate pair that it begins; 0 for neither.
std::size_t unicode_escape_length(std::string_view text) {
  const auto unit_at = [text](std::size_t at) -> std::uint32_t {
    constexpr std::uint32_t none = 0x10000;
    if (text.size() < at + 6 || text[at] != '\\' || text[at + 1] != 'u') return none;
    std::uint32_t unit = 0;
    const char* const end = text.data() + at + 6;
    const auto read = std::from_chars(text.data() + at + 2, end, unit, 16);
    return read.ec == std::errc{} && read.ptr == end ? unit : none;
  };
  const std::uint32_t first = unit_at(0);
  if (first > 0xFFFF) return 0;
  const std::uint32_t second = first >= 0xD800 && first < 0xDC00 ? unit_at(6) : 0;
  return second >= 0xDC00 && second < 0xE000 ? 12 : 6;
}

}  // namespace

void hand_over(std::string_view inside, text_sink& sink) {
  for (;;) {
    const std::size_t run = inside.find('\\');
    if (run != 0 && !inside.empty()) sink.text(inside.substr(0, run));
    if (run == std::string_view::npos) return;
    inside.remove_prefix(run);
    if (inside.size() < 2) return;
    std::size_t length = 2;
    if (inside[1] == 'u') {
      length = unicode_escape_length(inside);
      if (length == 0) return sink.text(inside);  // no JSON; counted as it stands
      sink.text(json::unescape(inside.substr(0, length)));
    } else {
      const char byte = escaped_byte(inside[1]);
      sink.text({&byte, 1});
    }
    inside.remove_prefix(length);
  }
}

void walk_prompt(dialect_id speaks, json::value body, prompt_sink& sink) {
  if (!body.is_object()) return;
  walker walk{sink};
  cursor at{body.raw()};
  at.members([&](std::string_view raw_key) {
    std::string unescaped;
    if (has_escape(raw_key)) unescaped = json::unescape(raw_key);
    const std::string_view key = unescaped.empty() ? raw_key : unescaped;
    if (holds_prompt(speaks, key)) {
      walk.content(at);
    } else if (const std::string_view json = at.value(); holds_format(speaks, key)) {
      walk.content(json::value{json}.find("format"));
    }
  });
}

void walk_embeddings(json::value body, prompt_sink& sink) {
  const auto input = body.find("input");
  if (!input) return;
  walker walk{sink};
  if (!input->is_array()) return walk.content(input);
  for (const json::value each : input->elements()) {
    if (each.is_number()) {
      sink.tokens(1);
    } else if (each.is_array()) {
      for (const json::value inner : each.elements())
        inner.is_number() ? sink.tokens(1) : walk.content(inner);
    } else {
      walk.content(each);
    }
  }
}

namespace {

// Calls read(), which moves behind the value, for the members of that name; moves behind the object, or
// whatever else is there.
template <class Read>
void each_named(cursor& at, std::string_view name, Read&& read) {
  if (at.next() != '{') return static_cast<void>(at.value());
  at.members([&](std::string_view key) {
    if (has_escape(key) ? json::unescape(key) == name : key == name) return read();
    at.value();
  });
}

}  // namespace

void walk_reply(dialect_id speaks, json::value body, prompt_sink& sink) {
  walker walk{sink, false};
  switch (speaks) {
    case dialect_id::openai_chat: {
      // In one pass, where json::value would look for the end of the message at each level.
      cursor at{body.raw()};
      return each_named(at, "choices", [&] {
        if (at.next() != '[') return static_cast<void>(at.value());
        at.elements([&] { each_named(at, "message", [&] { walk.content(at); }); });
      });
    }
    case dialect_id::openai_responses:
      return walk.content(body.find("output"));
    case dialect_id::anthropic_messages:
      return walk.content(body.find("content"));
  }
}

}  // namespace tidegate::protocol::dialect
