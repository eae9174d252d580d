// contract/openapi.json: OpenAPI 3.1.
#include <algorithm>
#include <map>

#include "protocol/rpc/contract_names.h"
#include "protocol/rpc/contract_writer.h"
#include "protocol/rpc/schema_writer.h"

namespace tidegate::protocol::rpc {
namespace {

constexpr std::string_view schemas_path = "#/components/schemas/";
constexpr std::string_view about =
    "Session surface of a tidegate gateway. Every channel takes a JSON object by POST and answers with an "
    "envelope: {ok: true, data, meta} or {ok: false, error, meta}; the HTTP status follows the error's code. "
    "Unknown fields are refused. Pushes come as server-sent events.";

// What any channel may answer with; a run may answer with every status there is.
constexpr std::array usual_statuses{400, 401, 403, 404, 409, 413, 429, 500, 501, 503, 504};

std::map<int, std::vector<std::string_view>> codes_by_status() {
  std::map<int, std::vector<std::string_view>> found;
  for (const foundation::error_code code : foundation::all_error_codes()) {
    if (is_declared(code)) found[foundation::http_status_of(code)].push_back(foundation::name_of(code));
  }
  // Codes with a second status: the gateway's own credential refused; the journal stopped.
  found[502].push_back(foundation::name_of(foundation::error_code::ai_auth_failed));
  found[503].push_back(foundation::name_of(foundation::error_code::db_error));
  for (auto& [status, names] : found) std::ranges::sort(names);
  return found;
}

std::string response_name(int status) { return "Status" + std::to_string(status); }

class openapi {
 public:
  openapi(json::writer& w, const contract& source)
      : w_{w}, source_{source}, schemas_{w, schemas_path, true}, codes_{codes_by_status()} {}

  void write() {
    w_.begin_object().member("openapi", "3.1.0");
    info();
    w_.key("paths").begin_object();
    std::vector<const channel*> channels;
    for (const channel& c : source_.channels) channels.push_back(&c);
    std::ranges::sort(channels, {}, [](const channel* c) { return c->name; });
    for (const channel* c : channels) channel_path(*c);
    events_path();
    w_.end_object();
    components();
    w_.end_object();
  }

 private:
  void info() {
    w_.key("info").begin_object();
    w_.member("title", "tidegate").member("version", TIDEGATE_VERSION).member("description", about);
    w_.key("license")
        .begin_object()
        .member("name", "Apache 2.0")
        .member("identifier", "Apache-2.0")
        .end_object();
    w_.end_object();
    w_.key("servers").begin_array().begin_object();
    w_.member("url", "http://127.0.0.1:8787").member("description", "The default listener");
    w_.end_object().end_array();
    w_.key("security").begin_array();
    for (const char* scheme : {"bearer", "apiKey"}) {
      w_.begin_object().key(scheme).begin_array().end_array().end_object();
    }
    w_.end_array();
    w_.key("tags").begin_array();
    std::vector<std::string_view> domains{source_.domains.begin(), source_.domains.end()};
    domains.push_back("events");
    std::ranges::sort(domains);
    for (const std::string_view domain : domains) {
      w_.begin_object().member("name", domain).member("description", domain_note(domain)).end_object();
    }
    w_.end_array();
  }

  static std::string_view domain_note(std::string_view domain) {
    if (domain == "ai") return "Runs, chats, providers and models";
    if (domain == "cost") return "Usage, budgets and prices";
    if (domain == "judge") return "Quality of texts";
    if (domain == "skill") return "Installed skills";
    return "Pushes";
  }

  void channel_path(const channel& c) {
    w_.key("/rpc/" + std::string{c.name}).begin_object();
    w_.key("post").begin_object();
    w_.member("operationId", operation_name(c.name)).member("summary", c.summary);
    if (c.needs == access::admin) w_.member("description", "Needs a key of role admin.");
    w_.key("tags").begin_array().string(c.name.substr(0, c.name.find(':'))).end_array();
    w_.key("requestBody").begin_object().member("required", true);
    w_.key("content").begin_object().key("application/json").begin_object().key("schema");
    schemas_.refer(request_name(c.name));
    w_.end_object().end_object().end_object();
    w_.key("responses").begin_object();
    ok_response(c);
    for (const auto& [status, names] : codes_) {
      const bool usual = std::ranges::find(usual_statuses, status) != usual_statuses.end();
      if (usual || c.limit == time_class::run) response(status);
    }
    default_response();
    w_.end_object().end_object().end_object();
  }

  void ok_response(const channel& c) {
    w_.key("200").begin_object().member("description", "Done");
    w_.key("content").begin_object();
    w_.key("application/json").begin_object().key("schema").begin_object().member("type", "object");
    w_.key("properties").begin_object();
    w_.key("ok").begin_object().member("type", "boolean").member("const", true).end_object();
    w_.key("data");
    schemas_.refer(reply_name(c.name));
    w_.key("meta");
    schemas_.refer("Meta");
    w_.end_object();
    w_.key("required").begin_array().string("ok").string("data").string("meta").end_array();
    w_.member("additionalProperties", false).end_object().end_object();
    // Asked for by `Accept: text/event-stream` and "stream": true.
    if (c.limit == time_class::run) event_stream();
    w_.end_object().end_object();
  }

  void event_stream() {
    w_.key("text/event-stream").begin_object().key("schema");
    schemas_.refer("PushEvent");
    w_.end_object();
  }

  void response(int status) {
    w_.key(std::to_string(status)).begin_object();
    w_.member("$ref", "#/components/responses/" + response_name(status)).end_object();
  }

  void default_response() {
    w_.key("default").begin_object().member("$ref", "#/components/responses/Failed").end_object();
  }

  void events_path() {
    w_.key("/rpc/events").begin_object().key("get").begin_object();
    w_.member("operationId", "events").member("summary", "The push stream");
    w_.member("description",
              "Server-sent events: `event` is the push's name, `data` its payload, `id` the "
              "position to resume behind. Leaving the stream cancels nothing.");
    w_.key("tags").begin_array().string("events").end_array();
    w_.key("parameters").begin_array();
    parameter("project", "query", "Only pushes of this project");
    parameter("session", "query", "Only pushes of this session");
    parameter("executionId", "query", "Only pushes of this run");
    parameter("Last-Event-ID", "header", "Goes on behind this event, if it is among the newest");
    w_.end_array();
    w_.key("responses").begin_object();
    w_.key("200").begin_object().member("description", "Pushes, each event as PushEvent says");
    w_.key("content").begin_object();
    event_stream();
    w_.end_object().end_object();
    for (const int status : {400, 401, 403, 429, 503}) response(status);
    default_response();
    w_.end_object().end_object().end_object();
  }

  void parameter(std::string_view name, std::string_view place, std::string_view note) {
    w_.begin_object().member("name", name).member("in", place).member("required", false);
    w_.member("description", note);
    w_.key("schema").begin_object().member("type", "string").end_object().end_object();
  }

  void components() {
    w_.key("components").begin_object();
    w_.key("securitySchemes").begin_object();
    w_.key("apiKey").begin_object().member("type", "apiKey").member("in", "header");
    w_.member("name", "x-api-key").end_object();
    w_.key("bearer").begin_object().member("type", "http").member("scheme", "bearer").end_object();
    w_.end_object();
    w_.key("responses").begin_object();
    for (const auto& [status, names] : codes_) {
      std::string codes;
      for (const std::string_view name : names) codes += (codes.empty() ? "" : ", ") + std::string{name};
      error_response(response_name(status), codes);
    }
    error_response("Failed", "Any other failure");
    w_.end_object();
    w_.key("schemas").begin_object();
    for (const std::string& name : component_names()) component(name);
    w_.end_object().end_object();
  }

  void error_response(std::string_view name, std::string_view note) {
    w_.key(name).begin_object().member("description", note);
    w_.key("content").begin_object().key("application/json").begin_object().key("schema");
    schemas_.refer("ErrorEnvelope");
    w_.end_object().end_object().end_object();
  }

  std::vector<std::string> component_names() {
    std::vector<std::string> names{"ErrorCode", "ErrorEnvelope", "Meta", "PushEvent"};
    for (const named_shape& n : all_named_shapes(source_)) {
      types_[n.name] = n.type;
      names.push_back(n.name);
    }
    std::ranges::sort(names);
    return names;
  }

  void component(const std::string& name) {
    w_.key(name);
    if (name == "ErrorCode") return error_code_definition(schemas_, w_);
    if (name == "ErrorEnvelope") return error_envelope_definition(schemas_, w_);
    if (name == "Meta") return meta_definition(w_);
    if (name == "PushEvent") return push_event();
    const shape& type = *types_.at(name);
    if (!type.name.empty() && type.name != name) return schemas_.refer(type.name);
    schemas_.open_definition(type);
    w_.end_object();
  }

  void push_event() {
    w_.begin_object().member("description", "One server-sent event, as its parts");
    w_.key("oneOf").begin_array();
    for (const push& p : source_.pushes) {
      w_.begin_object().member("type", "object").member("description", p.summary);
      w_.key("properties").begin_object();
      w_.key("event").begin_object().member("const", p.name).end_object();
      w_.key("data");
      schemas_.refer(push_name(p.name));
      w_.key("id").begin_object().member("type", "string").end_object();
      w_.end_object();
      w_.key("required").begin_array().string("event").string("data").string("id").end_array();
      w_.end_object();
    }
    w_.end_array().end_object();
  }

  json::writer& w_;
  const contract& source_;
  schema_writer schemas_;
  std::map<int, std::vector<std::string_view>> codes_;
  std::map<std::string, const shape*> types_;
};

}  // namespace

std::string openapi_text(const contract& source) {
  std::string compact;
  json::writer w{compact};
  openapi{w, source}.write();
  return pretty(compact);
}

}  // namespace tidegate::protocol::rpc
