// The Responses dialect behind the common interface, and its errors.
#include "protocol/dialect/openai_responses.h"

#include <utility>

#include "protocol/dialect/shared.h"

namespace tidegate::protocol::dialect {
namespace {

class responses_dialect final : public dialect {
 public:
  dialect_id id() const override { return dialect_id::openai_responses; }
  std::string_view path() const override { return "/v1/responses"; }

  std::expected<request_summary, complaint> summarize(json::value body) const override {
    return responses::summarize(body);
  }
  std::expected<request, complaint> decode_request(json::value body) const override {
    return responses::decode_request(body);
  }
  std::expected<std::string, complaint> encode_request(const request& r, std::string_view) const override {
    return responses::encode_request(r);
  }

  std::expected<reply, complaint> decode_reply(json::value body) const override {
    return responses::decode_reply(body);
  }
  std::string encode_reply(const reply& r, const encode_context& context) const override {
    return responses::encode_reply(r, context);
  }
  usage usage_of(json::value body) const override { return read_openai_usage(member_of(body, "usage")); }
  bool has_reply_shape(json::value body) const override {
    const auto output = member_of(body, "output");
    return output && output->is_array();
  }

  std::unique_ptr<stream_watch> watch() const override { return responses::make_watch(); }
  std::unique_ptr<stream_decoder> decoder() const override { return responses::make_decoder(); }
  std::unique_ptr<stream_encoder> encoder(encode_context context) const override {
    return responses::make_encoder(std::move(context));
  }

  std::string encode_error(const foundation::failure& f, std::string_view run_id,
                           std::string_view trace_id) const override {
    return openai_error_body(f, run_id, trace_id);
  }

  // The stream's own count is not known here; clients only want a number.
  std::string encode_stream_error(const foundation::failure& f, std::string_view run_id,
                                  std::string_view trace_id) const override {
    const std::string body = openai_error_body(f, run_id, trace_id);
    const json::value nested = member_of(json::value{body}, "error").value_or(json::value{});
    std::string out;
    responses::append_error_event(out, 0, nested.string_or("code", ""), f.message, f.param, nested.raw());
    return out;
  }
};

}  // namespace

namespace responses {

void append_error_event(std::string& out, std::int64_t sequence_number, std::string_view code,
                        std::string_view message, std::string_view param, std::string_view nested) {
  std::string data;
  json::writer w{data};
  w.begin_object().member("type", "error").member("sequence_number", sequence_number);
  w.member("code", code).member("message", message).key("param");
  param.empty() ? w.null() : w.string(param);
  w.key("error").raw(nested).end_object();
  sse::append_event(out, "error", data);
}

}  // namespace responses

const dialect& openai_responses() {
  static const responses_dialect instance;
  return instance;
}

}  // namespace tidegate::protocol::dialect
