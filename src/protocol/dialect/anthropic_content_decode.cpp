#include <utility>

#include "protocol/dialect/anthropic_read.h"

namespace tidegate::protocol::dialect::anthropic {
namespace {

enum class block_key : std::uint8_t {
  type,
  text,
  source,
  title,
  cache_control,
  id,
  name,
  input,
  tool_use_id,
  content,
  is_error,
  thinking,
  signature,
  data,
  count,
};
constexpr std::size_t block_key_count = std::to_underlying(block_key::count);
constexpr std::array<std::string_view, block_key_count> block_keys = {
    "type",  "text",        "source",  "title",    "cache_control", "id",        "name",
    "input", "tool_use_id", "content", "is_error", "thinking",      "signature", "data"};

// Members of one content block.
class block {
 public:
  explicit block(json::value object) : found_{pick(object, block_keys)} {}
  const std::optional<json::value>& operator[](block_key key) const {
    return found_[std::to_underlying(key)];
  }

 private:
  std::array<std::optional<json::value>, block_key_count> found_;
};

class content_reader : field_reader {
 public:
  explicit content_reader(std::size_t items) { items_ = items; }
  std::size_t items() const { return items_; }
  std::optional<complaint> read(json::value content, role from, const field_path& where,
                                std::vector<part>& out) {
    if (read_content(content, from, where, out)) return std::nullopt;
    return std::move(complaint_);
  }

 private:
  bool read_content(json::value content, role from, const field_path& where, std::vector<part>& out);
  bool read_block(json::value v, role from, const field_path& where, std::vector<part>& out);
  bool read_source(const block& b, bool document, const field_path& where, std::vector<part>& out);
  bool read_tool_use(const block& b, const field_path& where, part& p);
  bool read_tool_result(const block& b, const field_path& where, part& p);
  bool read_search_result(const block& b, const field_path& where, std::vector<part>& out);
};

bool content_reader::read_content(json::value content, role from, const field_path& where,
                                  std::vector<part>& out) {
  if (content.is_string()) {
    if (!admit(where)) return false;
    part& p = out.emplace_back();
    p.text = content.as_string().value_or("");
    return true;
  }
  std::size_t i = 0;
  for (const json::value& v : content.elements()) {
    const field_path at_block = where.element(i++);
    if (!admit(at_block) || !read_block(v, from, at_block, out)) return false;
  }
  return true;
}

bool content_reader::read_block(json::value v, role from, const field_path& where, std::vector<part>& out) {
  if (!v.is_object()) return fail(where, "must be an object");
  const block b{v};
  const auto& type = b[block_key::type];
  if (!type || !type->is_string()) return fail(where.member("type"), "field required, a string");
  part p;
  if (!read_cache_control(b[block_key::cache_control], where.member("cache_control"), p.cache_control))
    return false;
  if (type->equals("text")) {
    if (!need_string(b[block_key::text], where.member("text"), p.text)) return false;
  } else if (type->equals("image") || type->equals("document")) {
    return read_source(b, type->equals("document"), where, out);
  } else if (type->equals("search_result")) {
    return read_search_result(b, where, out);
  } else if (type->equals("tool_use") && from == role::assistant) {
    if (!read_tool_use(b, where, p)) return false;
  } else if (type->equals("tool_result") && from == role::user) {
    if (!read_tool_result(b, where, p)) return false;
  } else if (type->equals("thinking") && from == role::assistant) {
    p.kind = part_kind::thinking;
    if (!need_string(b[block_key::thinking], where.member("thinking"), p.text)) return false;
    if (!read_string(b[block_key::signature], where.member("signature"), p.signature)) return false;
  } else if (type->equals("redacted_thinking") && from == role::assistant) {
    p.kind = part_kind::redacted_thinking;
    if (!need_string(b[block_key::data], where.member("data"), p.data)) return false;
  } else {
    return fail(where.member("type"), "content of type '" + type->as_string().value_or("") +
                                          "' is not supported by the provider this model is routed to");
  }
  out.push_back(std::move(p));
  return true;
}

// A document of plain text or of blocks becomes those parts: every target reads text, few read text files.
bool content_reader::read_source(const block& b, bool document, const field_path& where,
                                 std::vector<part>& out) {
  const field_path source_place = where.member("source");
  const auto& source = b[block_key::source];
  if (!source || !source->is_object()) return fail(source_place, "field required, an object");
  const auto [type, media_type, data, url, content] =
      pick(*source, std::array<std::string_view, 5>{"type", "media_type", "data", "url", "content"});
  part p;
  p.kind = document ? part_kind::file : part_kind::image;
  if (!read_cache_control(b[block_key::cache_control], where.member("cache_control"), p.cache_control))
    return false;
  if (document && !read_string(b[block_key::title], where.member("title"), p.name)) return false;
  if (type && type->equals("base64")) {
    if (!need_string(media_type, source_place.member("media_type"), p.media_type)) return false;
    if (!need_string(data, source_place.member("data"), p.data)) return false;
  } else if (type && type->equals("url")) {
    if (!need_string(url, source_place.member("url"), p.url)) return false;
  } else if (document && type && type->equals("text")) {
    std::string text;
    if (!need_string(data, source_place.member("data"), text)) return false;
    p.kind = part_kind::text;
    p.text = p.name.empty() ? std::move(text) : p.name + "\n" + text;
    p.name.clear();
  } else if (document && type && type->equals("content") && content &&
             (content->is_string() || content->is_array())) {
    return read_content(*content, role::user, source_place.member("content"), out);
  } else {
    return fail(source_place.member("type"),
                "this kind of source is not supported by the provider this model is "
                "routed to");
  }
  out.push_back(std::move(p));
  return true;
}

bool content_reader::read_tool_use(const block& b, const field_path& where, part& p) {
  p.kind = part_kind::tool_call;
  if (!need_string(b[block_key::id], where.member("id"), p.id)) return false;
  if (!need_string(b[block_key::name], where.member("name"), p.name)) return false;
  const auto& input = b[block_key::input];
  if (input && !input->is_object()) return fail(where.member("input"), "must be an object");
  p.data = input ? std::string{input->raw()} : "{}";
  return true;
}

bool content_reader::read_tool_result(const block& b, const field_path& where, part& p) {
  p.kind = part_kind::tool_result;
  if (!need_string(b[block_key::tool_use_id], where.member("tool_use_id"), p.id)) return false;
  if (const auto& is_error = b[block_key::is_error]) {
    const auto flag = is_error->as_bool();
    if (!flag) return fail(where.member("is_error"), "must be a boolean");
    p.is_error = *flag;
  }
  const auto& content = b[block_key::content];
  if (!content) return true;
  const field_path content_place = where.member("content");
  if (!content->is_string() && !content->is_array()) {
    return fail(content_place, "must be a string or an array of content blocks");
  }
  if (!read_content(*content, role::user, content_place, p.content)) return false;
  for (const part& inner : p.content) {
    // The depth of results is one: a result inside a result has no meaning anywhere.
    if (inner.kind == part_kind::tool_result) return fail(content_place, "must not hold tool results");
  }
  return true;
}

// Retrieved text keeps its title and origin in front; no other dialect has a block for it.
bool content_reader::read_search_result(const block& b, const field_path& where, std::vector<part>& out) {
  part p;
  std::string source;
  if (!read_string(b[block_key::title], where.member("title"), p.text)) return false;
  if (!read_string(b[block_key::source], where.member("source"), source)) return false;
  const field_path content_place = where.member("content");
  const auto& content = b[block_key::content];
  if (!content || !content->is_array()) return fail(content_place, "field required, an array");
  std::vector<part> inner;
  if (!read_content(*content, role::user, content_place, inner)) return false;
  p.text += "\n" + source;
  for (const part& text : inner) {
    if (text.kind != part_kind::text) return fail(content_place, "only text blocks are allowed here");
    p.text += "\n" + text.text;
  }
  out.push_back(std::move(p));
  return true;
}

}  // namespace

std::optional<complaint> read_content(json::value content, role from, const field_path& where,
                                      std::vector<part>& out, std::size_t& items) {
  content_reader reader{items};
  auto wrong = reader.read(content, from, where, out);
  items = reader.items();
  return wrong;
}

}  // namespace tidegate::protocol::dialect::anthropic
