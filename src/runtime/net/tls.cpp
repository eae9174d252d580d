#include "runtime/net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace tidegate::runtime {
namespace {

std::string last_error(const std::string& what) {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  return what + ": " + text;
}

void harden(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
}

bool is_numeric(const std::string& host) {
  in6_addr buffer;
  return ::inet_pton(AF_INET, host.c_str(), &buffer) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &buffer) == 1;
}

// The listener speaks HTTP/1.1 only; a client that offers protocols must learn so.
int choose_http1(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* offered,
                 unsigned int offered_length, void*) {
  static constexpr unsigned char http1[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_length, http1, sizeof http1, offered, offered_length) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

void ssl_context_deleter::operator()(ssl_ctx_st* context) const noexcept { SSL_CTX_free(context); }

std::expected<ssl_context, std::string> make_client_context(const std::string& ca_file) {
  ssl_context context{SSL_CTX_new(TLS_client_method())};
  if (context == nullptr) return std::unexpected{last_error("TLS client context")};
  harden(context.get());
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  const int loaded = ca_file.empty() ? SSL_CTX_set_default_verify_paths(context.get())
                                     : SSL_CTX_load_verify_locations(context.get(), ca_file.c_str(), nullptr);
  if (loaded != 1) return std::unexpected{last_error("certificate authorities")};
  return context;
}

std::expected<ssl_context, std::string> make_server_context(const std::string& cert_file,
                                                            const std::string& key_file) {
  ssl_context context{SSL_CTX_new(TLS_server_method())};
  if (context == nullptr) return std::unexpected{last_error("TLS server context")};
  harden(context.get());
  if (SSL_CTX_use_certificate_chain_file(context.get(), cert_file.c_str()) != 1) {
    return std::unexpected{last_error("server.tls_cert " + cert_file)};
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    return std::unexpected{last_error("server.tls_key " + key_file)};
  }
  SSL_CTX_set_alpn_select_cb(context.get(), choose_http1, nullptr);
  return context;
}

ssl_handle make_client_session(ssl_ctx_st& context, const std::string& host) {
  ssl_handle ssl{SSL_new(&context)};
  if (ssl == nullptr) return ssl;
  SSL_set_connect_state(ssl.get());
  if (is_numeric(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), host.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl.get(), host.c_str());
    SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set1_host(ssl.get(), host.c_str());
  }
  return ssl;
}

ssl_handle make_server_session(ssl_ctx_st& context) {
  ssl_handle ssl{SSL_new(&context)};
  if (ssl != nullptr) SSL_set_accept_state(ssl.get());
  return ssl;
}

}  // namespace tidegate::runtime
