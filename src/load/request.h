// What the generator sends: a valid LLM request of a wanted size in the dialect that the path tells.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace tidegate::load {

struct target {
  bool tls = false;
  std::string host;  // without brackets
  std::uint16_t port = 0;
  std::string authority;  // for the Host field
  std::string path;
};

// "http://host[:port][/path]"; without a path, Chat Completions.
std::expected<target, std::string> parse_target(std::string_view url);

struct request_shape {
  std::string model = "gpt-bench";
  bool stream = false;
  std::uint64_t body_bytes = 1024;
  std::uint32_t max_llm_tokens = 256;
  std::string bearer{};  // client key, empty for none
};

// The whole HTTP/1.1 request. The body has `body_bytes` bytes, or as many as the smallest valid one needs.
std::string make_request(const target& to, const request_shape& shape);

}  // namespace tidegate::load
