// A certificate authority and a server certificate made at run time, as PEM files in a folder of the test's
// own.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <string>

namespace tidegate::kit {

class tls_material {
 public:
  // `host`: the DNS name that the certificate is for.
  tls_material(const std::string& dir, const std::string& host)
      : cert_{dir + "/cert.pem"}, key_{dir + "/key.pem"} {
    std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> pair{EVP_EC_gen("P-256"), EVP_PKEY_free};
    std::unique_ptr<X509, decltype(&X509_free)> x{X509_new(), X509_free};
    X509_set_version(x.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(x.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x.get()), 3600L * 24);
    X509_set_pubkey(x.get(), pair.get());
    X509_NAME* const name = X509_get_subject_name(x.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("tidegate test"), -1, -1, 0);
    X509_set_issuer_name(x.get(), name);
    add(x.get(), NID_basic_constraints, "critical,CA:TRUE");
    add(x.get(), NID_subject_alt_name, "DNS:" + host);
    X509_sign(x.get(), pair.get(), EVP_sha256());
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> cert{std::fopen(cert_.c_str(), "w"), std::fclose};
    PEM_write_X509(cert.get(), x.get());
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> key{std::fopen(key_.c_str(), "w"), std::fclose};
    PEM_write_PrivateKey(key.get(), pair.get(), nullptr, nullptr, 0, nullptr, nullptr);
  }
  const std::string& cert() const { return cert_; }
  const std::string& key() const { return key_; }

 private:
  static void add(X509* x, int id, const std::string& value) {
    X509_EXTENSION* const e = X509V3_EXT_conf_nid(nullptr, nullptr, id, value.c_str());
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
  }
  std::string cert_;
  std::string key_;
};

}  // namespace tidegate::kit
