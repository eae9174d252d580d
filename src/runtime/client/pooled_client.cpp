#include "runtime/client/pooled_client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "foundation/check.h"

namespace tidegate::runtime {
namespace {

constexpr std::chrono::seconds sweep_interval{5};
constexpr std::chrono::seconds stale_window{1};

iovec piece_of(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

call_fault fault_of(io_error error, call_fault on_timeout) {
  switch (error) {
    case io_error::timeout:
      return on_timeout;
    case io_error::canceled:
      return call_fault::canceled;
    case io_error::tls:
      return call_fault::tls;
    case io_error::dns:
      return call_fault::dns;
    default:
      return call_fault::reset;
  }
}

}  // namespace

std::string_view to_text(call_fault fault) {
  switch (fault) {
    case call_fault::dns:
      return "the provider's name cannot be resolved";
    case call_fault::tls:
      return "TLS with the provider failed";
    case call_fault::connect:
      return "the provider cannot be reached";
    case call_fault::reset:
      return "the provider closed the connection before its reply was whole";
    case call_fault::malformed:
      return "the provider's reply is not HTTP/1.1";
    case call_fault::connect_timeout:
      return "connecting to the provider took too long";
    case call_fault::first_byte_timeout:
      return "the provider did not begin its reply in time";
    case call_fault::idle_timeout:
      return "the provider fell silent in its reply";
    case call_fault::canceled:
      return "cancelled";
  }
  return "unknown";
}

class pooled_client::connection {
 public:
  connection(pooled_client& owner, std::size_t home, std::unique_ptr<stream> s)
      : owner_{owner}, home_{home}, stream_{std::move(s)}, hook_{*this} {}

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
    if (!stream_->is_open() || stream_->hung_up()) return false;
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

class pooled_client::reply final : public upstream_reply {
 public:
  reply(pooled_client& owner, std::unique_ptr<connection> c) : owner_{owner}, connection_{std::move(c)} {}
  ~reply() override {
    if (done_ && head_.keep_alive && carry_.empty() && connection_ != nullptr)
      owner_.give_back(std::move(connection_));
  }

  // Reads the head; what follows it in the same read is kept.
  task<std::expected<void, call_fault>> read_head(std::string_view method, instant by,
                                                  cancel_source* cancel) {
    std::size_t scanned = 0;
    std::string kept;
    for (;;) {
      const wake woken = co_await connection_->io().readable(by, cancel);
      if (woken == wake::canceled) co_return std::unexpected{call_fault::canceled};
      if (woken == wake::timeout) co_return std::unexpected{call_fault::first_byte_timeout};
      const std::span<char> scratch = owner_.loop_.scratch();
      const io_result got = connection_->io().try_read(scratch);
      if (got.status == io_status::would_block) continue;
      if (got.status != io_status::done) {
        ended_ = got.status == io_status::closed;
        co_return std::unexpected{got.error == io_error::tls ? call_fault::tls : call_fault::reset};
      }
      answered_ = true;
      std::string_view bytes{scratch.data(), got.bytes};
      if (!kept.empty()) {
        kept.append(bytes);
        bytes = kept;
      }
      for (;;) {
        const auto parsed = http1::parse_response_head(bytes, owner_.settings_.head, scanned, method, head_);
        if (parsed.status == http1::parse_status::failed) co_return std::unexpected{call_fault::malformed};
        if (parsed.status == http1::parse_status::need_more) break;
        scanned = 0;
        if (head_.status >= 100 && head_.status < 200) {  // informational: the real head follows
          if (head_.status == 101) co_return std::unexpected{call_fault::malformed};
          bytes.remove_prefix(parsed.consumed);
          continue;
        }
        adopt(bytes, parsed.consumed);
        co_return std::expected<void, call_fault>{};
      }
      if (bytes.data() != kept.data() || bytes.size() != kept.size()) kept = std::string{bytes};
    }
  }

  task<std::expected<std::string_view, call_fault>> read(instant deadline, cancel_source* cancel) override {
    while (!done_) {
      std::string_view data;
      if (!carry_.empty()) {
        reading_ = std::move(carry_);
        carry_.clear();
        if (!take(reading_, data)) co_return std::unexpected{call_fault::malformed};
      } else {
        const wake woken = co_await connection_->io().readable(deadline, cancel);
        if (woken == wake::canceled) co_return std::unexpected{call_fault::canceled};
        if (woken == wake::timeout) co_return std::unexpected{call_fault::idle_timeout};
        const std::span<char> scratch = owner_.loop_.scratch();
        const io_result got = connection_->io().try_read(scratch);
        if (got.status == io_status::would_block) continue;
        if (got.status == io_status::closed && head_.body == http1::framing::until_close) {
          done_ = true;
          break;
        }
        if (got.status != io_status::done) co_return std::unexpected{call_fault::reset};
        if (!take({scratch.data(), got.bytes}, data)) co_return std::unexpected{call_fault::malformed};
      }
      if (!data.empty()) co_return data;
    }
    co_return std::string_view{};
  }

  void release_head() override {
    upstream_reply::release_head();
    std::string{}.swap(head_bytes_);
  }

  bool answered() const noexcept { return answered_; }
  // The peer ended the connection in order, as a keep-alive limit does; a reset is a failure of its own.
  bool ended() const noexcept { return ended_; }

 private:
  void adopt(std::string_view bytes, std::size_t consumed) {
    head_bytes_.assign(bytes.data(), consumed);
    const char* const from = bytes.data();
    const auto move = [&](std::string_view& view) {
      if (view.data() != nullptr) view = {head_bytes_.data() + (view.data() - from), view.size()};
    };
    for (http1::field& f : head_.fields) {
      move(f.name);
      move(f.value);
    }
    move(head_.reason);
    carry_.assign(bytes.substr(consumed));
    left_ = head_.content_length;
    done_ = head_.body == http1::framing::none || (head_.body == http1::framing::length && left_ == 0);
  }

  // Takes `input` apart. One run of data at a time is handed out; what lies behind it is carried over.
  bool take(std::string_view input, std::string_view& data) {
    if (head_.body == http1::framing::until_close) {
      data = input;
      return true;
    }
    if (head_.body == http1::framing::length) {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size()));
      data = input.substr(0, n);
      left_ -= n;
      done_ = left_ == 0;
      carry_ = input.substr(n);
      return true;
    }
    return take_chunks(input, data);
  }

  bool take_chunks(std::string_view input, std::string_view& data) {
    bool joined = false;
    while (!input.empty()) {
      const auto step = decoder_.next(input);
      if (step.status == http1::parse_status::failed) return false;
      input.remove_prefix(step.consumed);
      if (!step.data.empty()) {
        if (data.empty()) {
          data = step.data;
        } else {
          // Several chunks came in one read: they go on as one piece.
          if (!joined) joined_.assign(data);
          joined_.append(step.data);
          joined = true;
        }
      }
      if (step.status == http1::parse_status::complete) {
        done_ = true;
        carry_ = input;
        break;
      }
    }
    if (joined) data = joined_;
    return true;
  }

  pooled_client& owner_;
  std::unique_ptr<connection> connection_;
  std::string head_bytes_;
  std::string carry_;
  std::string reading_;
  std::string joined_;
  http1::chunk_decoder decoder_;
  std::uint64_t left_ = 0;
  bool done_ = false;
  bool answered_ = false;
  bool ended_ = false;
};

pooled_client::pooled_client(loop& owner, resolver& names, ssl_ctx_st& tls, client_settings settings)
    : loop_{owner}, names_{names}, tls_{tls}, settings_{settings}, sweeper_{owner, *this} {}

pooled_client::~pooled_client() = default;

std::size_t pooled_client::idle_connections() const noexcept {
  std::size_t count = 0;
  for (const pool& p : pools_) count += p.idle.size();
  return count;
}

std::size_t pooled_client::pool_of(const origin& to) {
  const auto found = std::ranges::find(pools_, to, &pool::to);
  if (found != pools_.end()) return static_cast<std::size_t>(found - pools_.begin());
  pools_.push_back({to, {}});
  return pools_.size() - 1;
}

std::unique_ptr<pooled_client::connection> pooled_client::take_idle(std::size_t from) {
  auto& connections = pools_[from].idle;
  while (!connections.empty()) {
    std::unique_ptr<connection> c = std::move(connections.back());
    connections.pop_back();
    c->unwatch();
    if (c->usable() && !c->stale_ && loop_.now() - c->idle_since < settings_.idle_max) {
      c->reused = true;
      return c;
    }
  }
  return nullptr;
}

void pooled_client::give_back(std::unique_ptr<connection> c) {
  auto& connections = pools_[c->home()].idle;
  if (!c->usable() || connections.size() >= settings_.idle_per_origin_max) return;
  c->idle_since = loop_.now();
  c->watch();
  connections.push_back(std::move(c));
  if (!sweeper_.armed()) sweeper_.arm(loop_.now() + sweep_interval);
}

void pooled_client::sweep() {
  bool any = false;
  for (pool& p : pools_) {
    std::erase_if(p.idle, [&](const std::unique_ptr<connection>& c) {
      return c->stale_ || loop_.now() - c->idle_since >= settings_.idle_max;
    });
    any |= !p.idle.empty();
  }
  if (any) sweeper_.arm(loop_.now() + sweep_interval);
}

task<std::expected<std::unique_ptr<upstream_reply>, call_end>> pooled_client::call(const origin& to,
                                                                                   std::string_view head,
                                                                                   std::string_view body,
                                                                                   call_deadlines by,
                                                                                   cancel_source* cancel) {
  const std::size_t home = pool_of(to);
  if (std::unique_ptr<connection> pooled = take_idle(home)) {
    auto result = co_await exchange(std::move(pooled), head, body, by.first_byte, cancel);
    // `connect` stands for "closed before any byte of a reply" here: the provider dropped an idle connection.
    // What was written to it was never read, so it is not counted as sent either.
    if (result || result.error().fault != call_fault::connect) co_return result;
  }
  auto fresh = co_await connect(to, home, std::min(by.connect, by.first_byte), cancel);
  if (!fresh) co_return std::unexpected{call_end{fresh.error(), false}};
  auto result = co_await exchange(std::move(*fresh), head, body, by.first_byte, cancel);
  if (!result && result.error().fault == call_fault::connect) result.error().fault = call_fault::reset;
  co_return result;
}

task<std::expected<std::unique_ptr<upstream_reply>, call_end>> pooled_client::exchange(
    std::unique_ptr<connection> c, std::string_view head, std::string_view body, instant by,
    cancel_source* cancel) {
  const std::array pieces{piece_of(head), piece_of(body)};
  co_await loop_.round_end();
  const instant begun = loop_.now();
  const io_result put = c->io().try_write(pieces);
  io_error sent = io_error::none;
  std::size_t written = put.status == io_status::done ? put.bytes : 0;
  // A write that would block may have left a part behind; one that failed at once has left nothing.
  bool handed_over = true;
  if (put.status == io_status::failed || put.status == io_status::closed) {
    sent = io_error::reset;
    handed_over = false;
  } else {
    if (written < head.size()) {
      sent = co_await c->io().write_all(head.substr(written), by, cancel);
      written = head.size();
    }
    if (sent == io_error::none && written < head.size() + body.size()) {
      sent = co_await c->io().write_all(body.substr(written - head.size()), by, cancel);
    }
  }
  if (sent == io_error::timeout || sent == io_error::canceled) {
    co_return std::unexpected{call_end{fault_of(sent, call_fault::first_byte_timeout), handed_over}};
  }
  // A provider may answer (413, 401) and close before it has read a large body: its answer counts.
  auto answer = std::make_unique<reply>(*this, std::move(c));
  const auto got = co_await answer->read_head(head.substr(0, head.find(' ')), by, cancel);
  if (got) co_return std::unique_ptr<upstream_reply>{std::move(answer)};
  // Closed while idle: the end was on its way when we wrote, so it shows at once. Later, or as a reset, the
  // provider had the request, and asking again is for the caller to decide.
  const bool at_once = loop_.now() - begun < stale_window;
  const bool unread = sent != io_error::none || answer->ended();
  if (got.error() == call_fault::reset && !answer->answered() && unread && at_once) {
    co_return std::unexpected{call_end{call_fault::connect, handed_over}};
  }
  co_return std::unexpected{call_end{got.error(), handed_over}};
}

task<std::expected<std::unique_ptr<pooled_client::connection>, call_fault>> pooled_client::connect(
    const origin& to, std::size_t home, instant by, cancel_source* cancel) {
  auto tcp = co_await connect_tcp(to, by, cancel);
  if (!tcp) co_return std::unexpected{tcp.error()};
  if (to.tls) {
    ssl_handle session = make_client_session(tls_, to.host);
    if (session == nullptr) co_return std::unexpected{call_fault::tls};
    const io_error done = co_await (*tcp)->handshake(std::move(session), by, cancel);
    if (done == io_error::canceled) co_return std::unexpected{call_fault::canceled};
    if (done == io_error::timeout) co_return std::unexpected{call_fault::connect_timeout};
    if (done != io_error::none) co_return std::unexpected{call_fault::tls};
  }
  co_return std::make_unique<connection>(*this, home, std::move(*tcp));
}

task<std::expected<std::unique_ptr<stream>, call_fault>> pooled_client::connect_tcp(const origin& to,
                                                                                    instant by,
                                                                                    cancel_source* cancel) {
  const auto addresses = co_await names_.resolve(loop_, to.host, to.port, by, cancel);
  if (!addresses) co_return std::unexpected{fault_of(addresses.error(), call_fault::connect_timeout)};
  call_fault last = call_fault::connect;
  for (std::size_t i = 0; i < addresses->size(); ++i) {
    const socket_address& target = (*addresses)[i];
    const int fd = ::socket(target.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) co_return std::unexpected{call_fault::connect};
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const int started = ::connect(fd, reinterpret_cast<const sockaddr*>(&target.storage), target.length);
    const bool pending = started != 0 && errno == EINPROGRESS;
    auto io = std::make_unique<stream>(loop_, fd);
    if (started == 0) co_return std::move(io);
    if (!pending) continue;
    // Each address gets an equal part of what is left, so that a dead first one leaves time for the next.
    const duration left = by == never ? duration{std::chrono::minutes{2}} : by - loop_.now();
    const instant until = loop_.now() + left / static_cast<int>(addresses->size() - i);
    const wake woken = co_await io->writable(until, cancel);
    if (woken == wake::canceled) co_return std::unexpected{call_fault::canceled};
    if (woken == wake::timeout) {
      last = call_fault::connect_timeout;
      continue;
    }
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error == 0) co_return std::move(io);
    last = call_fault::connect;
  }
  co_return std::unexpected{last};
}

}  // namespace tidegate::runtime
