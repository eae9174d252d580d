#include <algorithm>
#include <vector>

#include "protocol/json/json.h"
#include "protocol/json/scan.h"

namespace tidegate::protocol::json {

namespace {

// The edit that decides over a key: the last one naming it.
template <typename Matches>
const edit* deciding(std::span<const edit> edits, Matches matches) {
  const auto found = std::find_if(edits.rbegin(), edits.rend(), matches);
  return found == edits.rend() ? nullptr : &*found;
}

std::size_t size_bound(std::string_view object, std::span<const edit> edits) {
  std::size_t size = object.size();
  for (const edit& e : edits) size += e.key.size() + (e.raw_value ? e.raw_value->size() : 0) + 8;
  return size;
}

// Copies an object member by member. A separator (comma and blanks) is written before every member but the
// first kept one, so removals can never leave a stray comma.
class rewriter {
 public:
  rewriter(std::string_view text, std::size_t brace, std::span<const edit> edits)
      : text_{text}, edits_{edits}, copied_{brace + 1}, used_(edits.size(), false) {
    out_.reserve(size_bound(text, edits));
    out_.append(text.substr(0, copied_));
  }

  std::string run(value object) {
    for (const member& m : object.members()) take(m);
    append_missing();
    out_.append(text_.substr(copied_));
    return std::move(out_);
  }

 private:
  std::size_t offset_of(const char* p) const { return static_cast<std::size_t>(p - text_.data()); }

  void take(const member& m) {
    const std::size_t key = offset_of(m.raw_key.data()) - 1;
    const std::size_t content = offset_of(m.content.raw().data());
    const std::size_t behind = content + m.content.raw().size();
    const edit* const e = deciding(edits_, [&](const edit& it) { return m.key_is(it.key); });
    const std::string_view before = text_.substr(copied_, key - copied_);
    const bool first = !seen_;
    copied_ = behind;
    if (e != nullptr) used_[static_cast<std::size_t>(e - edits_.data())] = true;
    // Blanks behind '{' belong to the object, not to its first member.
    if (first) out_.append(before);
    seen_ = true;
    if (e != nullptr && !e->raw_value) return;
    if (!first && kept_) out_.append(before);
    kept_ = true;
    out_.append(text_.substr(key, content - key));
    out_.append(e != nullptr ? *e->raw_value : m.content.raw());
  }

  void append_missing() {
    for (std::size_t i = 0; i < edits_.size(); ++i) {
      const edit& e = edits_[i];
      const edit* const last = deciding(edits_, [&](const edit& it) { return it.key == e.key; });
      if (last != &e || used_[i] || !e.raw_value) continue;
      if (kept_) out_ += ',';
      kept_ = true;
      append_quoted(out_, e.key);
      out_ += ':';
      out_.append(*e.raw_value);
    }
  }

  std::string_view text_;
  std::span<const edit> edits_;
  std::string out_;
  std::size_t copied_;      // text before this offset has been dealt with
  std::vector<bool> used_;  // edits that met a member
  bool seen_ = false;
  bool kept_ = false;
};

}  // namespace

std::string apply(std::string_view object, std::span<const edit> edits) {
  const std::size_t brace = object.find_first_not_of(" \t\r\n");
  if (brace == std::string_view::npos || object[brace] != '{') return std::string{object};
  return rewriter{object, brace, edits}.run(value{object.substr(brace)});
}

}  // namespace tidegate::protocol::json
