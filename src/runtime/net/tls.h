// TLS contexts: one for all clients (system roots, TLS 1.2 or newer), one for a listener.
#pragma once

#include <expected>
#include <memory>
#include <string>

#include "runtime/net/stream.h"

struct ssl_ctx_st;

namespace tidegate::runtime {

struct ssl_context_deleter {
  void operator()(ssl_ctx_st* context) const noexcept;
};
using ssl_context = std::unique_ptr<ssl_ctx_st, ssl_context_deleter>;

// Verifies against the system's roots, or `ca_file` when given (SSL_CERT_FILE and SSL_CERT_DIR work as
// usual).
std::expected<ssl_context, std::string> make_client_context(const std::string& ca_file = {});
std::expected<ssl_context, std::string> make_server_context(const std::string& cert_file,
                                                            const std::string& key_file);

// SNI and verification of the certificate for `host`.
ssl_handle make_client_session(ssl_ctx_st& context, const std::string& host);
ssl_handle make_server_session(ssl_ctx_st& context);

}  // namespace tidegate::runtime
