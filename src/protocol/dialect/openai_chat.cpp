#include "protocol/dialect/openai_chat.h"

#include <utility>

namespace tidegate::protocol::dialect {
namespace {

class openai_chat_dialect final : public dialect {
 public:
  dialect_id id() const override { return dialect_id::openai_chat; }
  std::string_view path() const override { return "/v1/chat/completions"; }

  std::expected<request_summary, complaint> summarize(json::value body) const override {
    return chat::summarize(body);
  }
  std::expected<request, complaint> decode_request(json::value body) const override {
    return chat::decode_request(body);
  }
  std::expected<std::string, complaint> encode_request(const request& r,
                                                       std::string_view max_tokens_field) const override {
    return chat::encode_request(r, max_tokens_field);
  }

  std::expected<reply, complaint> decode_reply(json::value body) const override {
    return chat::decode_reply(body);
  }
  std::string encode_reply(const reply& r, const encode_context& context) const override {
    return chat::encode_reply(r, context);
  }
  usage usage_of(json::value body) const override { return read_openai_usage(member_of(body, "usage")); }
  bool has_reply_shape(json::value body) const override { return chat::has_reply_shape(body); }
  reply_facts facts_of(json::value body) const override { return chat::facts_of(body); }

  std::unique_ptr<stream_watch> watch() const override { return chat::make_watch(); }
  std::unique_ptr<stream_decoder> decoder() const override { return chat::make_decoder(); }
  std::unique_ptr<stream_encoder> encoder(encode_context context) const override {
    return chat::make_encoder(std::move(context));
  }

  std::string encode_error(const foundation::failure& f, std::string_view run_id,
                           std::string_view trace_id) const override {
    return openai_error_body(f, run_id, trace_id);
  }
  std::string encode_stream_error(const foundation::failure& f, std::string_view run_id,
                                  std::string_view trace_id) const override {
    std::string out;
    sse::append_event(out, {}, openai_error_body(f, run_id, trace_id));
    return out;
  }
};

}  // namespace

const dialect& openai_chat() {
  static const openai_chat_dialect instance;
  return instance;
}

}  // namespace tidegate::protocol::dialect
