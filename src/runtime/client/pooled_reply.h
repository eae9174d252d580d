// What a pooled_client is made of: a connection that outlives its calls, and the reply of one call. Included
// by the client's own files only.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/client/pooled_client.h"
#include "runtime/net/stream.h"

namespace tidegate::runtime {

class pooled_client::connection {
 public:
  connection(pooled_client& owner, std::size_t home, std::unique_ptr<stream> s)
      : owner_{owner}, home_{home}, stream_{std::move(s)}, hook_{*this} {}
  ~connection() {
    if (closed_ != nullptr) stream_->say_end();  // idle: nothing was under way
  }

  stream& io() noexcept { return *stream_; }
  std::size_t home() const noexcept { return home_; }
  bool reused = false;
  instant idle_since{};

  void watch() {
    closed_ = std::make_unique<cancel_source>();
    closed_->attach(hook_);
    stream_->source().on_hangup(closed_.get());
  }
  void unwatch() {
    stream_->source().on_hangup(nullptr);
    hook_.detach();
    closed_.reset();
  }
  // Open, and nothing to read: an idle provider connection has nothing to say.
  bool usable() {
    if (!stream_->is_open() || stream_->hung_up() || stream_->tls_broken()) return false;
    if (!stream_->source().looks_readable()) return true;
    if (!stream_->encrypted()) return false;
    // TLS has its own bytes (session tickets) that make the socket readable without any for us.
    char byte = 0;
    return stream_->try_read({&byte, 1}).status == io_status::would_block;
  }

 private:
  struct hook_type : cancel_hook {
    explicit hook_type(connection& c)
        : cancel_hook{[](cancel_hook& h) {
            connection& closed = static_cast<hook_type&>(h).self;
            // Dropped at the end of the round: the source that tells us is still in use.
            closed.stale_ = true;
            closed.owner_.sweeper_.arm(closed.owner_.loop_.now());
          }},
          self{c} {}
    connection& self;
  };
  friend class pooled_client;
  pooled_client& owner_;
  std::size_t home_;  // its pool
  std::unique_ptr<stream> stream_;
  std::unique_ptr<cancel_source> closed_;
  hook_type hook_;
  bool stale_ = false;
};

// How the sending of a request ended.
struct pooled_client::send_end {
  io_error error = io_error::none;
  bool handed_over = false;                      // bytes of it may be with the kernel
  std::expected<bool, call_fault> head = false;  // of the reply: whole already, or how it failed
};

class pooled_client::reply final : public upstream_reply {
 public:
  reply(pooled_client& owner, std::unique_ptr<connection> c) : owner_{owner}, connection_{std::move(c)} {}
  ~reply() override;

  // The rest of a request, `first` being what came of writing all of it at once: until it is with the kernel,
  // or the provider has answered that it wants no more of it. Then, and where it answers early for another
  // reason, the reply's head is there already.
  task<send_end> send_rest(io_result first, std::string_view head, std::string_view body, instant by,
                           cancel_source* cancel);
  task<std::expected<bool, call_fault>> read_head(std::string_view method, instant by, cancel_source* cancel);
  task<std::expected<std::string_view, call_fault>> read(instant deadline, cancel_source* cancel) override;
  void release_head() override;

  stream& io() noexcept { return connection_->io(); }
  bool answered() const noexcept { return answered_; }
  // The peer ended the connection, as a keep-alive limit does; a reset is a failure of its own.
  bool ended() const noexcept { return ended_; }

 private:
  // One read of the head: true once it is whole; what follows it in the same read is kept.
  std::expected<bool, call_fault> advance_head(std::string_view method);
  void adopt(std::string_view bytes, std::size_t consumed);
  // Takes `input` apart. One run of data at a time is handed out; what lies behind it is carried over. False:
  // malformed from its first byte on.
  bool take(std::string_view input, std::string_view& data);
  bool take_chunks(std::string_view input, std::string_view& data);

  pooled_client& owner_;
  std::unique_ptr<connection> connection_;
  std::string head_bytes_;
  std::string carry_;
  std::string reading_;  // the head as far as it has come; then the bytes that were carried over
  std::string joined_;
  http1::chunk_decoder decoder_;
  std::uint64_t left_ = 0;
  std::size_t scanned_ = 0;   // of the head
  bool request_cut_ = false;  // not all of the request was sent
  bool malformed_ = false;    // what follows cannot be read
  bool done_ = false;
  bool answered_ = false;
  bool ended_ = false;
};

}  // namespace tidegate::runtime
