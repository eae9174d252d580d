#include "protocol/dialect/anthropic_messages.h"

#include <utility>

#include "protocol/sse/sse.h"

namespace tidegate::protocol::dialect {
namespace {

class messages_dialect final : public dialect {
 public:
  dialect_id id() const override { return dialect_id::anthropic_messages; }
  std::string_view path() const override { return "/v1/messages"; }

  std::expected<request_summary, complaint> summarize(json::value body) const override {
    return anthropic::summarize(body);
  }
  std::expected<request, complaint> decode_request(json::value body) const override {
    return anthropic::decode_request(body);
  }
  std::expected<std::string, complaint> encode_request(const request& r, std::string_view) const override {
    return anthropic::encode_request(r);
  }

  std::expected<reply, complaint> decode_reply(json::value body) const override {
    return anthropic::decode_reply(body);
  }
  std::string encode_reply(const reply& r, const encode_context& context) const override {
    return anthropic::encode_reply(r, context);
  }
  usage usage_of(json::value body) const override {
    const auto reported = body.find("usage");
    return reported ? anthropic::merge_usage({}, *reported) : usage{};
  }
  bool has_reply_shape(json::value body) const override { return anthropic::has_reply_shape(body); }

  std::unique_ptr<stream_watch> watch() const override { return anthropic::make_watch(); }
  std::unique_ptr<stream_decoder> decoder() const override { return anthropic::make_decoder(); }
  std::unique_ptr<stream_encoder> encoder(encode_context context) const override {
    return anthropic::make_encoder(std::move(context));
  }

  std::string encode_error(const foundation::failure& f, std::string_view run_id,
                           std::string_view trace_id) const override {
    return anthropic::encode_error(f, run_id, trace_id);
  }
  std::string encode_stream_error(const foundation::failure& f, std::string_view run_id,
                                  std::string_view trace_id) const override {
    std::string out;
    sse::append_event(out, "error", anthropic::encode_error(f, run_id, trace_id));
    return out;
  }
};

}  // namespace

const dialect& anthropic_messages() {
  static const messages_dialect instance;
  return instance;
}

}  // namespace tidegate::protocol::dialect
