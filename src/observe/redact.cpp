#include "observe/redact.h"

#include <algorithm>
#include <array>

#include "foundation/text.h"

namespace tidegate::observe {

namespace {

using foundation::istarts_with;
using foundation::lower;

constexpr std::string_view mask = "***";

constexpr bool is_alnum(char c) { return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z'); }
constexpr bool is_word(char c) { return is_alnum(c) || c == '_' || c == '-'; }
// What keys are made of, and the asterisks and dots of keys that someone masked by halves.
constexpr bool is_key_char(char c) { return is_word(c) || c == '*' || c == '.' || c == '~'; }
// base64, JWT and RFC 6750's token68.
constexpr bool is_token_char(char c) {
  return is_key_char(c) || c == '+' || c == '/' || c == '=' || c == '%';
}
constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }
constexpr bool ends_url(char c) {
  return static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '\'' || c == '<' || c == '>' || c == '\\' ||
         c == '`' || c == ')' || c == '}' || c == ']' || c == '|';
}

constexpr std::array<std::string_view, 6> key_prefixes{"sk-", "pk-", "rk-", "ak-", "tg-", "AIza"};
constexpr std::array<std::string_view, 2> schemes{"bearer", "basic"};
// Longest first where one begins another.
constexpr std::array<std::string_view, 18> secret_names{"proxy-authorization",
                                                        "authorization",
                                                        "x-goog-api-key",
                                                        "x-api-key",
                                                        "api-key",
                                                        "api_key",
                                                        "apikey",
                                                        "set-cookie",
                                                        "cookie",
                                                        "client_secret",
                                                        "access_token",
                                                        "refresh_token",
                                                        "auth_token",
                                                        "id_token",
                                                        "password",
                                                        "passwd",
                                                        "secret_key",
                                                        "secret"};
// Header values that hold blanks and commas: masked to the end of the line.
constexpr std::array<std::string_view, 4> whole_line_names{"proxy-authorization", "authorization",
                                                           "set-cookie", "cookie"};

class masker {
 public:
  masker(std::string_view text, std::span<const std::string_view> known) : text_{text}, known_{known} {
    out_.reserve(text.size() + 16);
  }

  std::string run() {
    while (at_ < text_.size()) {
      const bool word_start = at_ == 0 || !is_alnum(text_[at_ - 1]);
      if (known_secret() || url_start() || url_tail()) continue;
      if (word_start && (key() || scheme() || named_value())) continue;
      if (in_url_ && ends_url(text_[at_])) in_url_ = false;
      out_ += text_[at_++];
    }
    return std::move(out_);
  }

 private:
  std::string_view rest() const { return text_.substr(at_); }
  char peek(std::size_t ahead) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  void copy(std::size_t n) {
    out_ += text_.substr(at_, n);
    at_ += n;
  }

  template <typename Predicate>
  std::size_t run_length(std::size_t from, Predicate predicate) const {
    std::size_t size = 0;
    while (from + size < text_.size() && predicate(text_[from + size])) ++size;
    return size;
  }

  bool known_secret() {
    for (const std::string_view secret : known_) {
      if (secret.empty() || !rest().starts_with(secret)) continue;
      out_ += mask;
      at_ += secret.size();
      return true;
    }
    return false;
  }

  // "://": drops what stands before the last '@' of the authority.
  bool url_start() {
    if (text_[at_] != ':' || !rest().starts_with("://") || at_ == 0 || !is_alnum(text_[at_ - 1]))
      return false;
    copy(3);
    in_url_ = true;
    const std::size_t size =
        run_length(at_, [](char c) { return !ends_url(c) && c != '/' && c != '?' && c != '#'; });
    const std::size_t sign = text_.substr(at_, size).rfind('@');
    if (sign != std::string_view::npos) at_ += sign + 1;
    return true;
  }

  bool url_tail() {
    if (!in_url_ || (text_[at_] != '?' && text_[at_] != '#')) return false;
    at_ += run_length(at_, [](char c) { return !ends_url(c); });
    in_url_ = false;
    return true;
  }

  bool key() {
    for (const std::string_view prefix : key_prefixes) {
      if (!istarts_with(rest(), prefix) && !underscored(prefix)) continue;
      const std::size_t size = run_length(at_ + prefix.size(), is_key_char);
      if (size == 0) continue;
      copy(prefix.size());
      out_ += mask;
      at_ += size;
      return true;
    }
    return false;
  }

  bool underscored(std::string_view prefix) const {
    return prefix.size() == 3 && lower(peek(0)) == prefix[0] && lower(peek(1)) == prefix[1] && peek(2) == '_';
  }

  bool scheme() {
    for (const std::string_view name : schemes) {
      if (!istarts_with(rest(), name)) continue;
      const std::size_t blanks = run_length(at_ + name.size(), is_blank);
      const std::size_t size = run_length(at_ + name.size() + blanks, is_token_char);
      if (blanks == 0 || size == 0) continue;
      copy(name.size() + blanks);
      out_ += mask;
      at_ += size;
      return true;
    }
    return false;
  }

  // name [quote] blanks (':' | '=') blanks [quote] value [quote], quotes perhaps behind backslashes.
  bool named_value() {
    const auto name = std::find_if(secret_names.begin(), secret_names.end(),
                                   [&](std::string_view n) { return istarts_with(rest(), n); });
    if (name == secret_names.end()) return false;
    std::size_t size = name->size();
    size += quote_length(size);
    size += run_length(at_ + size, is_blank);
    if (peek(size) != ':' && peek(size) != '=') return false;
    ++size;
    size += run_length(at_ + size, is_blank);
    const std::size_t quote = quote_length(size);
    const std::string_view closing = text_.substr(at_ + size, quote);
    const bool whole_line =
        std::find(whole_line_names.begin(), whole_line_names.end(), *name) != whole_line_names.end();
    const std::size_t from = at_ + size + quote;
    const std::size_t value = quote > 0 ? quoted_length(from, closing) : bare_length(from, whole_line);
    if (value == 0) return false;
    copy(size + quote);
    out_ += mask;
    at_ += value;
    return true;
  }

  // A quote at `ahead`, with the backslashes before it.
  std::size_t quote_length(std::size_t ahead) const {
    const std::size_t slashes = run_length(at_ + ahead, [](char c) { return c == '\\'; });
    const char c = peek(ahead + slashes);
    return c == '"' || c == '\'' ? slashes + 1 : 0;
  }

  std::size_t quoted_length(std::size_t from, std::string_view closing) const {
    std::size_t at = from;
    while (true) {
      at = text_.find(closing, at);
      if (at == std::string_view::npos) return text_.size() - from;
      // A quote deeper in escapes belongs to the value.
      if (at == from || text_[at - 1] != '\\') return at - from;
      ++at;
    }
  }

  std::size_t bare_length(std::size_t from, bool whole_line) const {
    return run_length(from, [whole_line](char c) {
      if (c == '\n' || c == '\r' || c == '"' || c == '\\') return false;
      return whole_line ||
             (!is_blank(c) && c != ',' && c != ';' && c != '&' && c != '}' && c != ']' && c != ')');
    });
  }

  std::string_view text_;
  std::span<const std::string_view> known_;
  std::string out_;
  std::size_t at_ = 0;
  bool in_url_ = false;
};

}  // namespace

std::string redact(std::string_view text, std::span<const std::string_view> known) {
  return masker{text, known}.run();
}

}  // namespace tidegate::observe
