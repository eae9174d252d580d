#include "mock/state.h"

#include <algorithm>
#include <utility>

#include "foundation/text.h"
#include "mock/recording.h"
#include "protocol/json/json.h"

namespace tidegate::mock {
namespace {

namespace json = protocol::json;

std::string_view name_of(outcome how) {
  switch (how) {
    case outcome::pending:
      return "pending";
    case outcome::completed:
      return "completed";
    case outcome::client_closed:
      return "client_closed";
    case outcome::reset:
      return "reset";
    case outcome::cut:
      return "cut";
    case outcome::garbage:
      return "garbage";
    case outcome::shutdown:
      return "shutdown";
    case outcome::refused:
      return "refused";
  }
  return "unknown";
}

bool matches(const match_rule& rule, const call_facts& call) {
  if (!rule.any()) return true;
  if (!rule.path.empty() && rule.path != call.path) return false;
  if (!rule.model.empty() && rule.model != call.model) return false;
  if (!rule.body_contains.empty() && call.body.find(rule.body_contains) == std::string_view::npos)
    return false;
  return std::ranges::all_of(rule.headers, [&](const header_field& wanted) {
    if (call.head == nullptr) return false;
    const auto* const found = call.head->find(foundation::to_lower(wanted.name));
    return found != nullptr && (wanted.value.empty() || found->value == wanted.value);
  });
}

bool is_utf8(std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    const auto step = foundation::step_utf8(p, end);
    if (!step.valid) return false;
    p += step.length;
  }
  return true;
}

std::int64_t ms_of(foundation::wall_time t) { return t.time_since_epoch().count(); }

}  // namespace

mock_state::mock_state(mock_settings settings)
    : settings_{std::move(settings)},
      first_fallback_{std::make_shared<const behavior>(settings_.fallback)},
      steps_{settings_.steps.begin(), settings_.steps.end()},
      fallback_{first_fallback_} {}

bool mock_state::apply(script_change change) {
  std::unique_lock lock{mutex_};
  if (change.replace_steps) steps_.clear();
  for (step& each : change.steps) steps_.push_back(std::move(each));
  if (change.fallback) fallback_ = std::move(change.fallback);
  return refuse_if_due(lock);
}

void mock_state::reset_script() {
  const std::lock_guard lock{mutex_};
  steps_.assign(settings_.steps.begin(), settings_.steps.end());
  fallback_ = first_fallback_;
}

std::size_t mock_state::steps_waiting() const {
  const std::lock_guard lock{mutex_};
  return steps_.size();
}

mock_state::taken mock_state::take(const call_facts& call) {
  std::unique_lock lock{mutex_};
  const auto found = std::ranges::find_if(steps_, [&](const step& each) {
    return each.does->kind != behavior_kind::refuse && matches(each.match, call);
  });
  if (found == steps_.end()) return {};
  taken out{found->does, false};
  if (found->count == 1) {
    steps_.erase(found);
  } else if (found->count > 1) {
    --found->count;
  }
  out.refusing = refuse_if_due(lock);
  return out;
}

// A refusal takes effect when it has become the next step: the connection that it is about must find no port.
bool mock_state::refuse_if_due(std::unique_lock<std::mutex>& lock) {
  milliseconds closed_for{0};
  while (!steps_.empty() && steps_.front().does->kind == behavior_kind::refuse) {
    closed_for += steps_.front().does->refuse_for;
    steps_.pop_front();
  }
  lock.unlock();
  if (closed_for == milliseconds{0}) return false;
  const std::lock_guard guard{listeners_mutex_};
  for (const auto& [id, listener] : listeners_) listener(closed_for);
  return true;
}

std::shared_ptr<const behavior> mock_state::fallback() const {
  const std::lock_guard lock{mutex_};
  return fallback_;
}

std::uint64_t mock_state::begin(const call_facts& call, foundation::wall_time received) {
  record r;
  if (settings_.requests_max != 0) {
    r.method = call.method;
    r.target = call.target;
    r.body = call.body;
    r.received = received;
    if (call.head != nullptr) {
      std::size_t size = 0;
      for (const auto& field : call.head->fields) size += field.name.size() + field.value.size() + 2;
      r.headers.reserve(size);
      for (const auto& field : call.head->fields) {
        r.headers += field.name;
        r.headers += '\n';
        r.headers += field.value;
        r.headers += '\n';
      }
    }
  }
  const std::lock_guard lock{mutex_};
  ++active_;
  ++total_;
  const std::uint64_t id = next_id_++;
  if (settings_.requests_max == 0) return id;
  if (records_.empty()) first_id_ = id;
  record_bytes_ += r.bytes();
  records_.push_back(std::move(r));
  // The newest stays whatever its size.
  while (records_.size() > 1 &&
         (records_.size() > settings_.requests_max || record_bytes_ > settings_.requests_bytes_max)) {
    drop_oldest();
  }
  return id;
}

void mock_state::drop_oldest() {
  record_bytes_ -= records_.front().bytes();
  records_.pop_front();
  ++first_id_;
  ++dropped_;
}

void mock_state::end(std::uint64_t id, const call_end& how) {
  const std::lock_guard lock{mutex_};
  --active_;
  if (how.how == outcome::client_closed) ++aborted_;
  if (id < first_id_ || id - first_id_ >= records_.size()) return;
  records_[id - first_id_].end = how;
}

void mock_state::append_record(std::string& out, std::uint64_t id, const record& r) {
  json::writer w{out};
  w.begin_object().member("id", static_cast<std::int64_t>(id)).member("method", std::string_view{r.method});
  w.member("path", std::string_view{r.target}).key("headers").begin_array();
  std::string_view left = r.headers;
  while (!left.empty()) {
    const std::size_t name_end = left.find('\n');
    const std::size_t value_end = left.find('\n', name_end + 1);
    w.begin_array().string(left.substr(0, name_end));
    w.string(left.substr(name_end + 1, value_end - name_end - 1)).end_array();
    left.remove_prefix(value_end + 1);
  }
  w.end_array();
  if (is_utf8(r.body)) {
    w.member("body", std::string_view{r.body});
  } else {
    w.member("body_base64", std::string_view{encode_base64(r.body)});
  }
  w.member("received_at_ms", ms_of(r.received)).member("outcome", name_of(r.end.how));
  if (r.end.how != outcome::pending) {
    w.member("closed_at_ms", ms_of(r.end.at)).member("closed_after_ms", foundation::to_ms(r.end.after));
  }
  if (r.end.how == outcome::client_closed) w.member("aborted_at_ms", ms_of(r.end.at));
  w.end_object();
}

std::string mock_state::requests_json() const {
  std::deque<record> copy;
  std::uint64_t id = 0;
  std::uint64_t dropped = 0;
  {
    const std::lock_guard lock{mutex_};
    copy = records_;
    id = first_id_;
    dropped = dropped_;
  }
  std::string out = "{\"requests\":[";
  bool first = true;
  for (const record& each : copy) {
    if (!std::exchange(first, false)) out += ",\n";
    append_record(out, id++, each);
  }
  out += "],\"dropped\":" + std::to_string(dropped) + "}";
  return out;
}

void mock_state::clear_requests() {
  const std::lock_guard lock{mutex_};
  records_.clear();
  first_id_ = next_id_;
  record_bytes_ = 0;
  dropped_ = 0;
}

std::string mock_state::counters_json() const {
  std::string out;
  json::writer w{out};
  const std::lock_guard lock{mutex_};
  w.begin_object().member("active", static_cast<std::int64_t>(active_));
  w.member("total", static_cast<std::int64_t>(total_)).member("aborted", static_cast<std::int64_t>(aborted_));
  w.member("steps_waiting", static_cast<std::int64_t>(steps_.size())).end_object();
  return out;
}

std::uint64_t mock_state::on_refusal(refusal_listener listener) {
  const std::lock_guard lock{listeners_mutex_};
  listeners_.emplace_back(next_listener_, std::move(listener));
  return next_listener_++;
}

void mock_state::forget_listener(std::uint64_t id) {
  const std::lock_guard lock{listeners_mutex_};
  std::erase_if(listeners_, [id](const auto& each) { return each.first == id; });
}

}  // namespace tidegate::mock
