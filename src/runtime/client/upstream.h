// The port to providers: one HTTP/1.1 call, its head, then its body piece by piece. pooled_client is the real
// one; tests script their own.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/http1/http1.h"
#include "runtime/async/cancel.h"
#include "runtime/async/task.h"
#include "runtime/loop.h"

namespace tidegate::runtime {

namespace http1 = protocol::http1;

struct origin {
  std::string host;
  std::uint16_t port = 443;
  bool tls = true;
  bool operator==(const origin&) const = default;
};

// How a call ended without (more of) a reply.
enum class call_fault : std::uint8_t {
  dns,
  tls,
  connect,
  reset,      // reset or end before the message was whole
  malformed,  // not HTTP/1.1 as we read it
  connect_timeout,
  first_byte_timeout,
  idle_timeout,
  canceled,
};
std::string_view to_text(call_fault fault);

// How a call ended without a reply.
struct call_end {
  call_fault fault = call_fault::reset;
  // Bytes of the request may have been handed to the kernel: who is billed for what was sent must know
  // (BUD-5).
  bool sent = false;
};

struct call_deadlines {
  instant connect = never;
  instant first_byte = never;  // until the reply's head is there, sending included
};

// A reply whose head has arrived. Destroying it before its end closes the connection at once.
class upstream_reply {
 public:
  virtual ~upstream_reply() = default;
  const http1::response_head& head() const noexcept { return head_; }
  // Frees the head's fields once nobody needs them any more (long streams); status and framing stay.
  virtual void release_head() {
    std::vector<http1::field>{}.swap(head_.fields);
    head_.reason = {};
  }
  // The next bytes of the body, empty at its end. The view is valid until the caller next suspends or reads.
  virtual task<std::expected<std::string_view, call_fault>> read(instant deadline, cancel_source* cancel) = 0;

 protected:
  http1::response_head head_;
};

class upstream_client {
 public:
  virtual ~upstream_client() = default;
  // `head`: request line and fields up to and including the blank line. `head` and `body` outlive the call.
  virtual task<std::expected<std::unique_ptr<upstream_reply>, call_end>> call(const origin& to,
                                                                              std::string_view head,
                                                                              std::string_view body,
                                                                              call_deadlines by,
                                                                              cancel_source* cancel) = 0;
};

}  // namespace tidegate::runtime
