#include "policy/run_stream.h"

#include <algorithm>
#include <utility>

namespace tidegate::policy {
namespace {

// Every byte but a continuation begins a code point, wherever the text was split.
std::size_t code_points(std::string_view text) noexcept {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

foundation::failure too_large(std::size_t max, std::size_t actual) {
  foundation::failure why;
  why.code = foundation::error_code::ipc_payload_too_large;
  why.message = "the output is longer than " + std::to_string(max) + " characters";
  why.details = "{\"maxChars\":" + std::to_string(max) + ",\"actualChars\":" + std::to_string(actual) + '}';
  return why;
}

}  // namespace

std::string_view name_of(stream_terminal t) noexcept {
  switch (t) {
    case stream_terminal::completed:
      return "completed";
    case stream_terminal::cancelled:
      return "cancelled";
    case stream_terminal::error:
      return "error";
  }
  return "";
}

void run_stream::delta(std::string_view text, foundation::instant now, std::vector<stream_output>& out) {
  if (!accepts() || completes_.has_value()) return;
  chars_ += code_points(text);
  if (chars_ > settings_.output_max_chars) {
    failed(too_large(settings_.output_max_chars, chars_));
    return;
  }
  batch_.add(text, now);
  if (batch_.full()) flush(out);
}

void run_stream::upstream_ended(foundation::instant now) noexcept {
  if (accepts() && !completes_.has_value()) completes_ = now + settings_.completion_grace;
}

void run_stream::failed(foundation::failure why) {
  if (!accepts()) return;
  failure_ = std::move(why);
  batch_.discard();
}

bool run_stream::cancel() noexcept {
  if (done()) return terminal_ == stream_terminal::cancelled;
  canceled_ = true;
  batch_.discard();
  return true;
}

bool run_stream::reset(std::vector<stream_output>& out) {
  if (!accepts() || completes_.has_value()) return false;
  batch_.discard();
  output_.clear();
  chars_ = 0;
  seq_ = 0;
  ++attempt_;
  if (settings_.chunks) out.push_back({.what = stream_output::kind::reset, .attempt = attempt_});
  return true;
}

void run_stream::flush(std::vector<stream_output>& out) {
  if (batch_.empty()) return;
  std::string text = batch_.take();
  output_ += text;
  ++seq_;
  if (!settings_.chunks) return;
  out.push_back(
      {.what = stream_output::kind::chunk, .attempt = attempt_, .seq = seq_, .text = std::move(text)});
}

void run_stream::end(stream_terminal terminal, std::vector<stream_output>& out) {
  terminal_ = terminal;
  out.push_back({.what = stream_output::kind::done, .attempt = attempt_, .seq = seq_ + 1});
}

void run_stream::tick(foundation::instant now, std::vector<stream_output>& out) {
  if (done()) return;
  if (canceled_) {
    failure_.reset();
    end(stream_terminal::cancelled, out);
  } else if (failure_.has_value()) {
    end(stream_terminal::error, out);
  } else if (completes_.has_value() && *completes_ <= now) {
    flush(out);
    end(stream_terminal::completed, out);
  } else if (batch_.ready(now)) {
    flush(out);
  }
}

foundation::instant run_stream::due() const noexcept {
  if (done()) return foundation::never;
  if (ending()) return foundation::instant{};
  return std::min(batch_.due(), completes_.value_or(foundation::never));
}

}  // namespace tidegate::policy
