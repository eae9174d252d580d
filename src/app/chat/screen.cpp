#include "app/chat/screen.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tidegate::app::chat {
namespace {

constexpr std::string_view dim = "\x1b[2m";
constexpr std::string_view red = "\x1b[31m";
constexpr std::string_view bold = "\x1b[1m";
constexpr std::string_view reset = "\x1b[0m";

constexpr std::array advices{
    std::pair{std::string_view{"FORBIDDEN"}, "Name a project that this key may use: --project"},
    std::pair{std::string_view{"NOT_FOUND"}, "Look at the names given with --session and --model."},
    std::pair{std::string_view{"IPC_CHANNEL_FORBIDDEN"},
              "This key may not use the channel; ask who made it."},
    std::pair{std::string_view{"COST_BUDGET_EXCEEDED"},
              "The spending limit is reached; an operator can raise it."},
    std::pair{std::string_view{"AI_SESSION_TOKEN_BUDGET_EXCEEDED"},
              "A token budget is used up. /new begins a conversation with its own."},
    std::pair{std::string_view{"AI_NOT_CONFIGURED"},
              "The gateway has no usable provider: `tidegate check` says why."}};

std::string conflict_advice(std::string_view reason) {
  if (reason == "capacity")
    return "The conversation is full: /archive closes it and begins the next, /new begins one beside it.";
  if (reason == "archived") return "The conversation is archived: /new begins another.";
  return {};
}

std::string retry_advice(const problem& why) {
  if (!why.retryable) return "Trying again will not help as it is.";
  if (why.retry_after_ms && *why.retry_after_ms > 0)
    return "Trying again makes sense in " + waiting_time(*why.retry_after_ms) + '.';
  return "Trying again makes sense.";
}

}  // namespace

std::string advice(const problem& why) {
  if (why.code == "CANCELED") return {};
  if (why.code == "CONFLICT") {
    if (std::string text = conflict_advice(why.reason); !text.empty()) return text;
  }
  if (why.code == "AI_AUTH_FAILED" && why.source != "upstream")
    return "Give a client key with --key or TIDEGATE_KEY.";
  for (const auto& [code, text] : advices) {
    if (why.code == code) return std::string{text};
  }
  return retry_advice(why);
}

void screen::begin() {
  said_.clear();
  waits_at_.clear();
  inside_line_ = false;
}

void screen::take(const push& news) {
  switch (news.kind) {
    case push_kind::queue:
      return take_queue(news);
    case push_kind::chunk:
      return say(news.text);
    case push_kind::reset:
      note("The provider broke off; the answer begins anew.");
      said_.clear();
      return;
    case push_kind::failover:
      return tell_failover(news.from, news.to, news.reason);
    case push_kind::done:
      return take_done(news);
    case push_kind::other:
      return;
  }
}

void screen::take_queue(const push& news) {
  if (news.status != "queued") return wipe();
  if (news.position <= 0) return;
  std::string text = "Waiting: position " + grouped(news.position) + " of " + grouped(news.queued);
  if (text == waits_at_) return;
  waits_at_ = std::move(text);
  if (!style_.live) return note(waits_at_);
  wipe();
  notes_ << waits_at_ << std::flush;
  waiting_ = true;
}

// What a slow reader was not sent, done brings along (STR-11).
void screen::take_done(const push& done) {
  if (done.text.starts_with(said_)) {
    say(std::string_view{done.text}.substr(said_.size()));
  } else {
    note("Some of the answer was lost on the way; this is all of it:");
    said_.clear();
    say(done.text);
  }
  end_line();
  if (done.terminal == "cancelled") {
    note("Cancelled.");
  } else if (done.error) {
    show(*done.error);
  }
  tell_finish(done.finish_reason, done.degraded);
}

void screen::show(const answer& whole) {
  if (!whole.failover_to.empty())
    tell_failover(whole.failover_from, whole.failover_to, whole.failover_reason);
  if (whole.candidates.empty()) say(whole.text);
  int number = 0;
  for (const candidate& c : whole.candidates) {
    line(answers_, bold, '[' + std::to_string(++number) + ']');
    say(c.text);
    end_line();
  }
  end_line();
  for (const failed_candidate& f : whole.failed) note(f.id + " failed: " + f.why.code + ": " + f.why.message);
  tell_finish(whole.finish_reason, whole.degraded);
}

void screen::show(const problem& why) {
  line(notes_, red, why.code + ": " + why.message);
  if (!why.trace_id.empty()) line(notes_, dim, "Trace " + why.trace_id);
  if (const std::string text = advice(why); !text.empty()) note(text);
}

void screen::show(const usage& used) { note(usage_line(used)); }

void screen::show(const message& past) {
  line(answers_, bold, past.role == "user" ? "You" : "Answer");
  say(past.text);
  end_line();
}

void screen::note(std::string_view text) { line(notes_, dim, text); }

void screen::line(std::ostream& to, std::string_view colour, std::string_view text) {
  end_line();
  if (style_.colour) to << colour;
  to << plain_line(text);
  if (style_.colour) to << reset;
  to << '\n' << std::flush;
}

void screen::say(std::string_view text) {
  if (text.empty()) return;
  wipe();
  said_ += text;
  const std::string shown = plain(text);
  if (shown.empty()) return;
  answers_ << shown << std::flush;
  inside_line_ = shown.back() != '\n';
}

void screen::end_line() {
  wipe();
  if (!std::exchange(inside_line_, false)) return;
  answers_ << '\n' << std::flush;
}

void screen::wipe() {
  if (std::exchange(waiting_, false)) notes_ << "\r\x1b[K" << std::flush;
}

void screen::tell_failover(std::string_view from, std::string_view to, std::string_view reason) {
  std::string why{reason};
  std::ranges::replace(why, '_', ' ');
  std::string text{"Failover: "};
  text.append(from).append(" -> ").append(to).append(" (").append(why).append(")");
  note(text);
}

void screen::tell_finish(std::string_view finish_reason, std::string_view degraded) {
  if (finish_reason == "length") note("The answer was cut at its greatest length.");
  if (finish_reason == "content_filter") note("The provider's content filter ended the answer.");
  if (!degraded.empty()) note(degraded);
}

}  // namespace tidegate::app::chat
