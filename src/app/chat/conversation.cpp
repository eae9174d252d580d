#include "app/chat/conversation.h"

#include <utility>

#include "foundation/ids.h"

namespace tidegate::app::chat {
namespace {

// A stream bears a comment line every 15 s.
constexpr std::chrono::seconds stream_patience{60};
// Several answers come at once: the longest wait for a place and the longest run.
constexpr std::chrono::minutes answers_patience{10};
constexpr std::chrono::seconds call_patience{35};
// Other callers of the same key may have asked meanwhile.
constexpr int usage_rows = 20;

std::string taken_instead(std::string_view text) {
  std::string memory{"The user took another answer to the last question than the one in the history: "};
  return memory.append(text);
}

}  // namespace

conversation::conversation(client& through, interrupts& signals, screen& shown, wishes wanted, chooser choose)
    : client_{through},
      interrupts_{signals},
      screen_{shown},
      wanted_{std::move(wanted)},
      choose_{std::move(choose)},
      random_{foundation::system_seed()} {}

void conversation::call(std::string_view channel, std::string body, told& out, runtime::duration patience) {
  watched_call way{client_, interrupts_};
  out.raw = way.run(channel, std::move(body), nullptr, patience);
  out.interrupted = way.interrupted();
  out.data =
      out.raw.fault.empty() ? read_envelope(out.raw.body) : std::unexpected{transport_problem(out.raw.fault)};
}

outcome conversation::refuse(const told& reply) {
  if (!reply.raw.fault.empty()) return refuse_transport(reply.raw.fault, reply.interrupted);
  screen_.show(reply.data.error());
  return outcome::failed;
}

outcome conversation::refuse_transport(const std::string& fault, bool interrupted) {
  screen_.end_line();
  if (interrupted) {
    screen_.note("Cancelled.");
    return outcome::failed;
  }
  screen_.show(transport_problem("no answer from the gateway at " + client_.place().url + ": " + fault));
  return outcome::failed;
}

outcome conversation::open() {
  told reply;
  call("ai:chat:sessions", session_body(wanted_.project, {}), reply, call_patience);
  if (!reply.data) return refuse(reply);
  const auto rows = read_sessions(*reply.data);
  std::optional<session_row> found;
  if (wanted_.session.empty()) {
    found = current_session(rows);
  } else {
    for (const session_row& row : rows) {
      if (row.id == wanted_.session) found = row;
    }
    if (!found) {
      problem why;
      why.code = "NOT_FOUND";
      why.message = "project " + wanted_.project + " has no conversation " + wanted_.session;
      screen_.show(why);
      return outcome::failed;
    }
  }
  if (!found) return outcome::good;
  session_ = found->id;
  screen_.note("Going on with \"" + found->title + "\" (" + session_ + "); /new begins another.");
  return outcome::good;
}

outcome conversation::handle(const input& line) {
  switch (line.what) {
    case order::nothing:
      return outcome::good;
    case order::ask:
      return ask(line.text);
    case order::help:
      for (std::string_view rest = help_text(); !rest.empty();) {
        const std::size_t end = rest.find('\n');
        screen_.note(rest.substr(0, end));
        rest.remove_prefix(end + 1);
      }
      return outcome::good;
    case order::fresh:
      forget();
      screen_.note("The next question begins another conversation.");
      return outcome::good;
    case order::history:
      return show_history();
    case order::archive:
      return archive();
    case order::model:
      wanted_.model = line.text;
      screen_.note(line.text.empty() ? "The gateway chooses the model." : "Model: " + line.text);
      return outcome::good;
    case order::candidates:
      if (line.count > 0) wanted_.candidates = line.count;
      screen_.note("Candidates: " + std::to_string(wanted_.candidates));
      return outcome::good;
    case order::quit:
      return outcome::left;
    case order::wrong:
      break;
  }
  screen_.note(line.text);
  return outcome::failed;
}

void conversation::forget() {
  session_.clear();
  memory_.clear();
  total_ = 0;
}

outcome conversation::show_history() {
  if (session_.empty()) {
    screen_.note("Nothing has been said yet.");
    return outcome::good;
  }
  told reply;
  call("ai:chat:list", session_body(wanted_.project, session_), reply, call_patience);
  if (!reply.data) return refuse(reply);
  const auto messages = read_messages(*reply.data);
  if (messages.empty()) screen_.note("Nothing has been said yet.");
  for (const message& m : messages) screen_.show(m);
  return outcome::good;
}

outcome conversation::archive() {
  if (session_.empty()) {
    screen_.note("There is no conversation to archive.");
    return outcome::good;
  }
  told reply;
  call("ai:chatsession:archive", session_body(wanted_.project, session_), reply, call_patience);
  if (!reply.data) return refuse(reply);
  screen_.note("Archived " + session_ + "; the next question begins another conversation.");
  forget();
  return outcome::good;
}

// A new session begins with a question that is stored before it is answered (CHAT-1, CHAT-4).
outcome conversation::begin_session(question& asked) {
  told reply;
  call("ai:chat:send", send_body(asked), reply, call_patience);
  if (!reply.data) return refuse(reply);
  asked.session = reply.data->string_or("sessionId", "");
  asked.message_id = reply.data->string_or("messageId", "");
  session_ = asked.session;
  return outcome::good;
}

outcome conversation::ask(std::string text) {
  screen_.begin();
  question asked;
  asked.text = std::move(text);
  asked.project = wanted_.project;
  asked.session = session_;
  asked.model = wanted_.model;
  asked.memory = memory_;
  asked.candidates = wanted_.candidates;
  asked.request_id = foundation::make_run_id(client_.owner().wall(), random_);
  const bool fresh = session_.empty();
  if (fresh && begin_session(asked) != outcome::good) return outcome::failed;
  const outcome came = asked.candidates == 1 ? ask_streamed(asked) : ask_whole(asked);
  if (fresh && came != outcome::good) {
    // Asked again, the question would stand there twice.
    told gone;
    call("ai:chatsession:delete", session_body(wanted_.project, session_), gone, call_patience);
    forget();
  }
  return came;
}

outcome conversation::ask_streamed(question& asked) {
  watched_call way{client_, interrupts_};
  std::optional<push> done;
  const auto on_event = [&](std::string_view name, std::string_view data) {
    push news = read_push(name, data);
    if (!news.execution_id.empty()) way.execution(news.execution_id);
    if (done) return;
    screen_.take(news);
    if (news.kind == push_kind::done) done = std::move(news);
  };
  const received raw = way.run("ai:skill:run", run_body(asked), on_event, stream_patience);
  if (done) {
    tell_usage(done->used, asked.request_id);
    return done->terminal == "completed" ? outcome::good : outcome::failed;
  }
  if (!raw.fault.empty()) return refuse_transport(raw.fault, way.interrupted());
  screen_.end_line();
  if (raw.stream) return refuse_transport("the stream ended before the answer did", false);
  const auto data = read_envelope(raw.body);
  screen_.show(data ? transport_problem("the gateway gave no stream") : data.error());
  return outcome::failed;
}

outcome conversation::ask_whole(question& asked) {
  screen_.note("Asking for " + std::to_string(asked.candidates) + " answers...");
  told reply;
  call("ai:skill:run", run_body(asked), reply, answers_patience);
  if (!reply.data) return refuse(reply);
  const answer whole = read_answer(*reply.data);
  screen_.show(whole);
  tell_usage(whole.used, asked.request_id);
  choose(whole);
  return outcome::good;
}

// The history holds the first good one; a model that is to go on from another must be told.
void conversation::choose(const answer& whole) {
  memory_.clear();
  if (!choose_ || whole.candidates.size() < 2) return;
  const int taken = choose_(static_cast<int>(whole.candidates.size()));
  if (taken == 0) return;
  const candidate& best = whole.candidates[static_cast<std::size_t>(taken) - 1];
  if (taken > 1) memory_ = taken_instead(best.text);
  told reply;
  call("ai:skill:feedback", feedback_body(best.run_id, "accept"), reply, call_patience);
  screen_.note("Going on with [" + std::to_string(taken) + "].");
}

// A stream tells neither what the conversation used nor what it cost; a key that may not ask does without.
void conversation::tell_usage(std::optional<usage> used, const std::string& request_id) {
  if (!used || used->prompt + used->output == 0) return;
  total_ = used->session ? *used->session : total_ + used->prompt + used->output;
  used->session = total_;
  if (!used->cost_usd) {
    told reply;
    call("cost:usage:list", usage_body(usage_rows), reply, call_patience);
    if (reply.data) used->cost_usd = cost_of(*reply.data, request_id);
  }
  screen_.show(*used);
}

}  // namespace tidegate::app::chat
