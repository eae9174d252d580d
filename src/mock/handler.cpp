#include "mock/handler.h"

#include <array>
#include <memory>
#include <optional>
#include <utility>

#include "foundation/text.h"
#include "mock/answer.h"
#include "mock/markers.h"
#include "mock/script.h"
#include "protocol/dialect/anthropic_tokens.h"

namespace tidegate::mock {
namespace {

constexpr std::uint64_t body_max = 256U << 20;
constexpr std::size_t json_depth_max = 256;
constexpr std::string_view json_type = "content-type: application/json\r\n";

enum class endpoint : std::uint8_t { generate, count_tokens, embeddings, models, model, health, unknown };

struct route {
  endpoint what = endpoint::unknown;
  vendor shape = vendor::openai;
  const dialect::dialect* speaks = nullptr;
  std::string_view model_id;  // of GET /v1/models/{id}, as it came
  std::string_view method = "GET";
};

// By the end of the path, so that any base URL can point here.
route route_of(std::string_view path, bool anthropic_caller) {
  route out;
  out.shape = anthropic_caller ? vendor::anthropic : vendor::openai;
  if (path == "/health" || path == "/healthz") {
    out.what = endpoint::health;
    return out;
  }
  for (const dialect::dialect* each :
       {&dialect::openai_chat(), &dialect::openai_responses(), &dialect::anthropic_messages()}) {
    if (!path.ends_with(each->path())) continue;
    const bool anthropic = each->id() == dialect::dialect_id::anthropic_messages;
    return {endpoint::generate, anthropic ? vendor::anthropic : vendor::openai, each, {}, "POST"};
  }
  if (path.ends_with("/v1/messages/count_tokens")) {
    return {endpoint::count_tokens, vendor::anthropic, &dialect::anthropic_messages(), {}, "POST"};
  }
  if (path.ends_with("/v1/embeddings")) return {endpoint::embeddings, vendor::openai, nullptr, {}, "POST"};
  constexpr std::string_view models = "/v1/models";
  if (const std::size_t at = path.rfind(models); at != std::string_view::npos) {
    const std::string_view rest = path.substr(at + models.size());
    if (rest.empty()) out.what = endpoint::models;
    if (rest.size() > 1 && rest.front() == '/') {
      out.what = endpoint::model;
      out.model_id = rest.substr(1);
    }
  }
  return out;
}

std::string decode_percent(std::string_view text) {
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    const char l = foundation::lower(c);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
  };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool coded =
        text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0;
    out += coded ? static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2])) : text[i];
    if (coded) i += 2;
  }
  return out;
}

// Notes when the client left, at the moment the loop is told.
struct leave_watch : runtime::cancel_hook {
  explicit leave_watch(runtime::downstream& x)
      : cancel_hook{[](cancel_hook& h) {
          auto& self = static_cast<leave_watch&>(h);
          self.left = self.of.owner().time().now();
          self.left_wall = self.of.owner().wall();
        }},
        of{x} {
    x.gone().attach(*this);
  }
  runtime::downstream& of;
  foundation::instant left{};
  foundation::wall_time left_wall{};
};

}  // namespace

// One call under way.
struct mock_handler::call {
  route to;
  std::string_view body;
  std::uint64_t id = 0;
  std::optional<json::value> parsed;
  std::string_view not_json;  // why there is no `parsed`
  std::optional<dialect::request> asked;
  std::optional<dialect::complaint> complaint;
  markers prompt;
  std::shared_ptr<const behavior> does;
  bool refusing = false;
  std::int64_t now_s = 0;

  std::string headers(std::string_view type) const;
};

// The behavior's own headers win over those that a vendor always sends.
std::string mock_handler::call::headers(std::string_view type) const {
  std::string out;
  const auto given = [this](std::string_view name) {
    for (const header_field& each : does->headers) {
      if (foundation::iequals(each.name, name)) return true;
    }
    return false;
  };
  if (!given("content-type")) out.append("content-type: ").append(type).append("\r\n");
  const std::string_view id_name = to.shape == vendor::anthropic ? "request-id" : "x-request-id";
  if (!given(id_name)) {
    out.append(id_name).append(": req_mock");
    foundation::append_number(out, static_cast<std::int64_t>(id));
    out += "\r\n";
  }
  for (const header_field& each : does->headers)
    out.append(each.name).append(": ").append(each.value).append("\r\n");
  return out;
}

task<void> mock_handler::handle(runtime::downstream& exchange) {
  if (exchange.request().path_query.starts_with("/_mock/")) {
    co_await control(exchange);
  } else {
    co_await serve(exchange);
  }
}

std::string mock_handler::refusal_body(const runtime::http_refusal& why, std::string_view,
                                       std::string& headers) {
  headers += json_type;
  return error_body(vendor::openai, {why.status, std::string{why.reason}, "", ""}, 0);
}

// What the call does: the script's next step, else what the prompt asks for, else the default.
void mock_handler::choose(call& c) {
  if (c.to.what == endpoint::generate && c.parsed) {
    auto read = read_request(*c.to.speaks, *c.parsed);
    if (read) {
      c.asked = std::move(*read);
    } else {
      c.complaint = std::move(read.error());
    }
  }
  if (c.asked) {
    std::string said = last_user_text(*c.asked);
    if (said.find("[[") != std::string::npos) {
      c.prompt = read_markers(said);
    } else {
      c.prompt.rest = foundation::trim(said);
    }
  }
  if (!c.does && c.prompt.asked) c.does = std::make_shared<const behavior>(*c.prompt.asked);
  if (!c.does) c.does = state_.fallback();
}

task<void> mock_handler::serve(runtime::downstream& exchange) {
  const auto& head = exchange.request();
  const std::string_view path = head.path_query.substr(0, head.path_query.find('?'));
  call_facts facts{head.method, head.target, path, {}, {}, &head};
  call c;
  c.to = route_of(path, head.find("anthropic-version") != nullptr);
  leave_watch watch{exchange};
  outcome how = outcome::refused;
  const auto body = co_await exchange.read_body(body_max);
  const foundation::wall_time wall = exchange.owner().wall();
  c.now_s = wall.time_since_epoch().count() / 1000;
  const foundation::duration ago = exchange.owner().now() - exchange.arrived();
  const foundation::wall_time received = wall - std::chrono::duration_cast<milliseconds>(ago);
  std::string model;
  if (body) {
    c.body = facts.body = *body;
    if (c.to.method == "POST") {
      const auto parsed = json::parse(*body, json_depth_max);
      if (parsed && parsed->is_object()) {
        c.parsed = *parsed;
        facts.model = model = parsed->string_or("model", "");
      } else {
        c.not_json = parsed ? std::string_view{"the body must be a JSON object"} : parsed.error().reason;
      }
    }
    c.id = state_.begin(facts, received);
    if (c.to.what != endpoint::health) {
      auto taken = state_.take(facts);
      c.does = std::move(taken.does);
      c.refusing = taken.refusing;
    }
    choose(c);
    how = co_await perform(exchange, c);
  } else {
    c.id = state_.begin(facts, received);
    if (body.error().status == 0) {
      how = outcome::client_closed;
    } else {
      exchange.close_after();
      std::string headers;
      const std::string text = refusal_body(body.error(), path, headers);
      co_await exchange.respond(body.error().status, headers, text);
    }
  }
  const bool left = how == outcome::client_closed && watch.left != foundation::instant{};
  const foundation::instant ended = left ? watch.left : exchange.owner().time().now();
  state_.end(c.id, {how, left ? watch.left_wall : exchange.owner().wall(), ended - exchange.arrived()});
}

task<outcome> mock_handler::perform(runtime::downstream& exchange, call& c) {
  const behavior& does = *c.does;
  player plays{exchange, does, does.interval.value_or(state_.settings().interval)};
  // The port closes before this call is answered, so that whoever saw the answer finds it closed.
  if (c.refusing && !(co_await plays.pause(milliseconds{0}) && co_await plays.pause(milliseconds{0}))) {
    co_return plays.gone();
  }
  if (c.to.what == endpoint::health) co_return co_await plays.whole(200, json_type, "{\"status\":\"ok\"}");
  if (does.delay > milliseconds{0} && !co_await plays.pause(does.delay)) co_return plays.gone();
  if (does.kind == behavior_kind::hang) co_return co_await plays.hang();
  if (does.kind == behavior_kind::reset && !does.after) co_return co_await plays.reset();
  if (does.kind == behavior_kind::replay) {
    std::string headers = does.replay->headers;
    for (const header_field& each : does.headers)
      headers.append(each.name).append(": ").append(each.value).append("\r\n");
    co_return co_await plays.recorded(headers, *does.replay);
  }
  if (does.body) {
    const std::string_view text = *does.body;
    const bool is_json = text.starts_with('{') || text.starts_with('[');
    co_return co_await plays.whole(
        does.status, c.headers(is_json ? "application/json" : "text/plain; charset=utf-8"), text);
  }
  if (does.kind == behavior_kind::status)
    co_return co_await refuse(plays, c, {does.status, does.message, "", ""});
  co_return co_await answer_call(plays, c);
}

task<outcome> mock_handler::refuse(player& plays, call& c, vendor_error error) {
  const std::string body = error_body(c.to.shape, error, c.id);
  co_return co_await plays.whole(error.status, c.headers("application/json"), body);
}

task<outcome> mock_handler::answer_call(player& plays, call& c) {
  std::expected<std::string, vendor_error> body =
      std::unexpected{vendor_error{404, "Unknown request URL.", "", "unknown_url"}};
  if (c.to.what == endpoint::unknown) co_return co_await refuse(plays, c, body.error());
  if (c.to.method == "POST" && !c.parsed) {
    co_return co_await refuse(
        plays, c,
        {400, "We could not parse the JSON body of your request: " + std::string{c.not_json}, "", ""});
  }
  switch (c.to.what) {
    case endpoint::generate:
      co_return co_await generate(plays, c);
    case endpoint::count_tokens: {
      const auto asked = dialect::decode_count_tokens(*c.parsed);
      if (asked) {
        body = dialect::encode_token_count(count_prompt_tokens(*asked));
      } else {
        body = std::unexpected{vendor_error{400, asked.error().param + ": " + asked.error().message, "", ""}};
      }
      break;
    }
    case endpoint::embeddings:
      body = embeddings_body(*c.parsed);
      break;
    case endpoint::models:
      body = models_body(c.to.shape);
      break;
    case endpoint::model:
      body = model_body(c.to.shape, decode_percent(c.to.model_id));
      break;
    case endpoint::health:
    case endpoint::unknown:
      break;
  }
  if (!body) co_return co_await refuse(plays, c, body.error());
  co_return co_await plays.whole(200, c.headers("application/json"), *body);
}

task<outcome> mock_handler::generate(player& plays, call& c) {
  if (!c.asked) {
    const dialect::complaint why = c.complaint.value_or(dialect::complaint{"The request is not valid.", ""});
    co_return co_await refuse(plays, c, {400, why.message, why.param, ""});
  }
  if (c.asked->model == unknown_model)
    co_return co_await refuse(plays, c, unknown_model_error(c.to.shape, c.asked->model));
  const behavior& does = *c.does;
  answer says = compose(c.to.speaks->id(), *c.asked, c.body, c.prompt, does, {c.id, c.now_s});
  if (c.asked->stream) {
    reply_stream events{*c.to.speaks, std::move(says), *c.asked,
                        does.chunk_chars.value_or(state_.settings().chunk_chars)};
    co_return co_await plays.stream(
        c.headers("text/event-stream; charset=utf-8") + "cache-control: no-cache\r\n", events, c.to.shape);
  }
  if (does.kind == behavior_kind::in_stream_error) {
    const named_error error = error_named(c.to.shape, does.stream_error);
    co_return co_await refuse(plays, c,
                              {error.status, does.message.empty() ? std::string{error.message} : does.message,
                               "", std::string{error.code}});
  }
  fold_filler(says);
  dialect::encode_context context;
  context.id = says.reply.id;
  context.model = says.reply.model;
  context.created = says.reply.created;
  context.asked = &*c.asked;
  const std::string body = c.to.speaks->encode_reply(says.reply, context);
  co_return co_await plays.whole(200, c.headers("application/json"), body);
}

std::string mock_handler::apply_script(std::string_view body, int& status, bool& refusing) {
  const auto parsed = json::parse(body, json_depth_max);
  std::expected<script_change, script_error> change =
      std::unexpected{script_error{{}, "the body is not JSON"}};
  if (parsed) change = read_change(*parsed, read_system_file);
  std::string out;
  json::writer w{out};
  if (!change) {
    status = 400;
    w.begin_object().member("error", std::string_view{change.error().text()}).end_object();
    return out;
  }
  refusing = state_.apply(std::move(*change));
  w.begin_object().member("ok", true);
  w.member("steps_waiting", static_cast<std::int64_t>(state_.steps_waiting())).end_object();
  return out;
}

task<void> mock_handler::control(runtime::downstream& exchange) {
  const auto& head = exchange.request();
  const std::string_view path = head.path_query.substr(0, head.path_query.find('?'));
  const auto body = co_await exchange.read_body(body_max);
  if (!body) {
    if (body.error().status == 0) co_return;
    exchange.close_after();
    std::string headers;
    const std::string text = refusal_body(body.error(), path, headers);
    co_await exchange.respond(body.error().status, headers, text);
    co_return;
  }
  int status = 200;
  bool refusing = false;
  std::string out = "{\"ok\":true}";
  if (path == "/_mock/behavior" && head.method == "POST") {
    out = apply_script(*body, status, refusing);
  } else if (path == "/_mock/behavior" && head.method == "DELETE") {
    state_.reset_script();
  } else if (path == "/_mock/requests" && head.method == "GET") {
    out = state_.requests_json();
  } else if (path == "/_mock/requests" && head.method == "DELETE") {
    state_.clear_requests();
  } else if (path == "/_mock/state" && head.method == "GET") {
    out = state_.counters_json();
  } else {
    status = 404;
    out = "{\"error\":\"there is no such thing to steer\"}";
  }
  // Two turns: the listener's loop is told in the first and has closed by the second.
  for (int i = 0; refusing && i < 2; ++i)
    co_await exchange.owner().sleep_until(exchange.owner().now(), &exchange.gone());
  co_await exchange.respond(status, json_type, out);
}

}  // namespace tidegate::mock
