// One of the generator's connections: opened on demand, used for call after call.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "load/reply_reader.h"
#include "load/report.h"
#include "load/request.h"
#include "runtime/async/task.h"
#include "runtime/net/address.h"
#include "runtime/net/stream.h"

struct ssl_ctx_st;

namespace tidegate::load {

using foundation::instant;

// Where connections go; shared by all of them.
struct destination {
  target to;
  std::vector<runtime::socket_address> addresses;
  ssl_ctx_st* tls = nullptr;
};

struct call_result {
  // Of the transport; empty where a reply came, good or bad.
  std::string transport_error;
  // The deadline passed or the run was given up.
  bool timed_out = false;
};

class connection {
 public:
  connection(runtime::loop& owner, const destination& to, report& results)
      : loop_{owner}, to_{to}, results_{results} {}

  // Sends `request` and reads its reply. `due` is what latencies count from; a reply must have ended by
  // `deadline`. A good reply is recorded in the report; a bad one is the caller's to record, from
  // reply().verdict().
  runtime::task<call_result> call(std::string_view request, instant due, instant deadline,
                                  runtime::cancel_source* cancel);
  const reply_reader& reply() const noexcept { return reader_; }

 private:
  runtime::task<std::string> open(instant deadline, runtime::cancel_source* cancel);
  runtime::task<std::string> connect(const runtime::socket_address& address, instant deadline,
                                     runtime::cancel_source* cancel);
  runtime::task<call_result> read_reply(instant due, instant deadline, runtime::cancel_source* cancel);
  void record_events(instant due, std::uint64_t before);

  runtime::loop& loop_;
  const destination& to_;
  report& results_;
  std::optional<runtime::stream> stream_;
  reply_reader reader_;
  instant last_event_{};
};

}  // namespace tidegate::load
