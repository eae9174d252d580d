#include "policy/judge_rules.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "policy/characters.h"
#include "policy/keyed_hash.h"

namespace tidegate::policy {
namespace {

constexpr std::int64_t sentence_characters_min = 4;
constexpr std::size_t block_min = 4;
constexpr std::size_t block_max = 12;

// Finds a block that follows itself at once. For each length it counts how many characters in a row equal the
// one that many places before: as many as the length make a repetition.
class block_detector {
 public:
  // True once a repetition is complete.
  bool add(char32_t c) {
    window_[fill_++] = c;
    return fill_ == window_.size() && scan();
  }
  bool finish() { return scan(); }

 private:
  bool scan() {
    for (std::size_t length = block_min; length <= block_max; ++length) {
      std::size_t run = runs_[length];
      for (std::size_t i = block_max; i < fill_; ++i) {
        run = window_[i] == window_[i - length] ? run + 1 : 0;
        if (run == length) return true;
      }
      runs_[length] = run;
    }
    std::copy_n(window_.begin() + static_cast<std::ptrdiff_t>(fill_ - block_max), block_max, window_.begin());
    fill_ = block_max;
    return false;
  }

  static constexpr char32_t none = 0x110000;  // before the text: beyond Unicode, so equal to no character
  static constexpr std::size_t window_characters = 512;
  static constexpr std::array<char32_t, block_max + window_characters> empty_window() {
    std::array<char32_t, block_max + window_characters> all{};
    all.fill(none);
    return all;
  }

  std::array<char32_t, block_max + window_characters> window_ = empty_window();
  std::size_t fill_ = block_max;
  std::array<std::size_t, block_max + 1> runs_{};
};

bool ends_sentence(char32_t c) { return c == U'。' || c == U'！' || c == U'？' || c == U'!' || c == U'?'; }

struct sentence {
  std::size_t hash = 0;
  std::string_view text;
};

// Sentences are compared by sorting their hashes: no text, however made, costs more than another.
bool holds_twin(std::vector<sentence>& all) {
  std::ranges::sort(all, [](const sentence& a, const sentence& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.text < b.text;
  });
  return std::ranges::adjacent_find(all, [](const sentence& a, const sentence& b) {
           return a.hash == b.hash && a.text == b.text;
         }) != all.end();
}

// Collects sentences while the text is walked once.
class sentence_collector {
 public:
  explicit sentence_collector(std::string_view whole) : whole_{whole} {}

  // The character at [from, to).
  void add(char32_t c, std::size_t from, std::size_t to) {
    if (ends_sentence(c)) return close();
    ++characters_;
    if (is_blank_character(c)) return;
    if (!open_) {
      open_ = true;
      begin_ = from;
      characters_ = 1;
    }
    end_ = to;
    trimmed_characters_ = characters_;
  }
  void close() {
    if (open_ && trimmed_characters_ >= sentence_characters_min) {
      const std::string_view text = whole_.substr(begin_, end_ - begin_);
      sentences_.push_back({hash_(text), text});
    }
    open_ = false;
  }
  bool repeats() { return holds_twin(sentences_); }

 private:
  std::string_view whole_;
  keyed_hash hash_;
  std::vector<sentence> sentences_;
  bool open_ = false;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;                  // behind the last character that is no blank
  std::int64_t characters_ = 0;          // since begin_
  std::int64_t trimmed_characters_ = 0;  // up to end_
};

}  // namespace

std::optional<judge_locale> judge_locale_named(std::string_view name) {
  if (name == "en") return judge_locale::en;
  if (name == "zh") return judge_locale::zh;
  return std::nullopt;
}

std::string_view name_of(judge_severity severity) {
  constexpr std::array<std::string_view, 3> names{"low", "medium", "high"};
  return names[static_cast<std::size_t>(severity)];
}

std::optional<judge_severity> judge_severity_named(std::string_view name) {
  for (const auto severity : {judge_severity::low, judge_severity::medium, judge_severity::high}) {
    if (name == name_of(severity)) return severity;
  }
  return std::nullopt;
}

bool is_repetitive(std::string_view text) {
  block_detector blocks;
  sentence_collector sentences{text};
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t from = text.size() - rest.size();
    const char32_t c = take_character(rest);
    sentences.add(c, from, text.size() - rest.size());
    if (!is_blank_character(c) && blocks.add(c)) return true;
  }
  if (blocks.finish()) return true;
  sentences.close();
  return sentences.repeats();
}

std::vector<judge_finding> check_judge_rules(std::string_view text, std::string_view context_summary) {
  const auto holds = [](std::string_view where, std::string_view what) {
    return where.find(what) != std::string_view::npos;
  };
  std::vector<judge_finding> found;
  if (holds(context_summary, "第一人称") && (holds(text, "他") || holds(text, "她"))) {
    found.push_back({judge_severity::high, std::string{label_pov_inconsistent}});
  }
  if (is_repetitive(text)) found.push_back({judge_severity::low, std::string{label_repetition}});
  return found;
}

std::string label_text(std::string_view label, judge_locale locale) {
  const bool zh = locale == judge_locale::zh;
  if (label == label_pov_inconsistent) {
    return zh ? "叙述视角不一致：设定为第一人称，文中却出现第三人称代词"
              : "Inconsistent point of view: the story is told in the first person, the text uses the third";
  }
  if (label == label_repetition) {
    return zh ? "内容重复：同一句子或片段反复出现" : "Repetition: a sentence or phrase occurs again";
  }
  return std::string{label};
}

judge_result combine_findings(std::span<const judge_finding> rules,
                              std::optional<std::span<const judge_finding>> advanced, judge_locale locale) {
  judge_result result;
  const auto take = [&result](std::span<const judge_finding> findings) {
    for (const judge_finding& each : findings) {
      result.severity = std::max(result.severity, each.severity);
      if (std::ranges::find(result.labels, each.label) == result.labels.end()) {
        result.labels.push_back(each.label);
      }
    }
  };
  take(rules);
  if (advanced) take(*advanced);
  result.partial_checks_skipped = !advanced.has_value();
  const bool zh = locale == judge_locale::zh;
  result.summary = result.labels.empty() ? (zh ? "通过" : "pass") : label_text(result.labels.front(), locale);
  if (result.partial_checks_skipped)
    result.summary += zh ? "（已跳过高级检查）" : " (advanced checks skipped)";
  return result;
}

}  // namespace tidegate::policy
