// What the end of a leg means to the run: an outcome for the breaker (FO-2), and what the caller is told
// should this leg be the last one (RET-5). Nothing a provider says is passed on unmasked (SEC-3).
#include <algorithm>
#include <span>
#include <utility>

#include "gateway/run.h"
#include "observe/redact.h"
#include "protocol/json/json.h"

namespace tidegate::gateway {

namespace json = protocol::json;
using foundation::error_code;
using policy::leg_timeout;
using policy::reply_fault;
using policy::transport_fault;
using runtime::call_fault;

namespace {

constexpr std::size_t message_max = 4096;

// A provider's own words. Masked before they are cut: half a credential would no longer be known as one.
std::string told_message(std::string_view told, std::span<const std::string_view> secrets) {
  std::string message = observe::redact(told.substr(0, 4 * message_max), secrets);
  if (message.size() > message_max) message.resize(message_max);
  return message;
}

std::string unless_secret(std::string_view word, std::string_view credential) {
  const bool repeats = !credential.empty() && word.find(credential) != std::string_view::npos;
  return repeats ? std::string{} : std::string{word};
}

transport_fault transport_of(call_fault fault) {
  switch (fault) {
    case call_fault::dns:
      return transport_fault::dns;
    case call_fault::tls:
      return transport_fault::tls;
    case call_fault::connect:
      return transport_fault::connect;
    default:
      return transport_fault::reset;
  }
}

}  // namespace

leg_end run::defect_end() const {
  leg_end end;
  end.result = {policy::leg_outcome::neutral, error_code::internal, false, "defect"};
  end.why().code = error_code::internal;
  end.why().message = "the gateway failed on this call";
  return end;
}

// Nobody's fault but the output's own (STR-7).
leg_end run::objection_end(failure why) const {
  leg_end end;
  end.result = {policy::leg_outcome::neutral, why.code, false, "output_refused"};
  end.why() = std::move(why);
  return end;
}

leg_end run::canceled_end() const {
  leg_end end;
  end.result = policy::result_of(policy::local_end::client_gone);
  end.why().code = error_code::canceled;
  end.why().message = reply_.gone().reason() == runtime::cancel_reason::shutdown
                          ? "the gateway is shutting down"
                      : reply_.gone().reason() == runtime::cancel_reason::requested ? "the run was canceled"
                                                                                    : "the caller left";
  return end;
}

leg_end run::timeout_end(leg_timeout limit, bool content) const {
  leg_end end;
  if (now() >= deadline_) {
    end.result = policy::result_of_deadline(now() - leg_started_, content, snapshot_->time.blame_after);
    end.why().code = error_code::skill_timeout;
    end.why().message = "the call did not end within its time limit of " +
                        std::to_string(foundation::to_ms(deadline_ - started_)) + " ms";
    return end;
  }
  end.result = policy::result_of(limit);
  end.why().code = end.result.code;
  end.why().message = "provider '" + provider_of(current_).name + "': " + std::string{end.result.reason};
  return end;
}

leg_end run::fault_end(call_fault fault, bool content) const {
  switch (fault) {
    case call_fault::canceled:
      return canceled_end();
    case call_fault::connect_timeout:
      return timeout_end(leg_timeout::connect, content);
    case call_fault::first_byte_timeout:
      return timeout_end(
          now() - leg_started_ >= snapshot_->time.leg ? leg_timeout::leg : leg_timeout::first_byte, content);
    case call_fault::idle_timeout:
      return timeout_end(now() - leg_started_ >= snapshot_->time.leg ? leg_timeout::leg : leg_timeout::idle,
                         content);
    default:
      break;
  }
  leg_end end;
  end.result = policy::result_of(transport_of(fault));
  end.transport = !content;
  end.why().code = error_code::llm_api_error;
  end.why().retryable = true;
  end.why().message =
      "provider '" + provider_of(current_).name + "': " + std::string{runtime::to_text(fault)};
  return end;
}

leg_end run::reply_fault_end(reply_fault fault, std::string_view message) const {
  leg_end end;
  end.result = policy::result_of(fault);
  end.why().code = end.result.code;
  end.why().retryable = end.result.retryable;
  end.why().message = "provider '" + provider_of(current_).name + "': " + std::string{message};
  return end;
}

leg_end run::status_end(int status, std::string_view body, std::string_view retry_after) const {
  const provider& p = provider_of(current_);
  leg_end end;
  end.result = policy::result_of_status(status);
  end.status = status;
  end.retry_after = policy::parse_retry_after(retry_after, services_.loop.wall());
  const std::string_view secrets[] = {p.credential};
  auto told = dialect::read_error(body);
  std::string message = told_message(told.message, secrets);
  end.why().code = end.result.code;
  end.why().retryable = end.result.retryable;
  switch (end.result.outcome) {
    case policy::leg_outcome::auth:
      end.why().status = 502;
      end.why().message = "provider '" + p.name + "' refused the gateway's credential";
      end.why().details = R"({"source":"upstream"})";
      return end;
    case policy::leg_outcome::pushback: {
      end.why().message =
          message.empty() ? "provider '" + p.name + "' limits the rate of calls" : std::move(message);
      return end;
    }
    default:
      break;
  }
  if (message.empty()) message = "provider '" + p.name + "' answered with status " + std::to_string(status);
  json::writer{end.why().details}
      .begin_object()
      .member("status", status)
      .member("upstreamMessage", message)
      .end_object();
  end.why().message = std::move(message);
  if (status >= 400 && status < 500) {
    end.why().status = status;
    end.why().param = unless_secret(told.param, p.credential);
    end.why().upstream_type = unless_secret(told.type, p.credential);
    end.why().upstream_code = unless_secret(told.code, p.credential);
  }
  return end;
}

leg_end run::stream_error_end(const dialect::stream_error& error) const {
  const provider& p = provider_of(current_);
  const auto fault = [&] {
    switch (dialect::classify(error)) {
      case dialect::error_kind::availability:
        return policy::stream_fault::overloaded;
      case dialect::error_kind::rate_limit:
        return policy::stream_fault::rate_limit;
      default:
        return policy::stream_fault::other;
    }
  }();
  const std::string_view secrets[] = {p.credential};
  leg_end end;
  end.result = policy::result_of(fault);
  end.why().code = end.result.code;
  end.why().retryable = end.result.retryable;
  end.why().message = told_message(error.message, secrets);
  if (end.why().message.empty()) end.why().message = "provider '" + p.name + "' sent an error in its stream";
  end.why().upstream_type = unless_secret(error.type, p.credential);
  end.why().upstream_code = unless_secret(error.code, p.credential);
  return end;
}

}  // namespace tidegate::gateway
