// The contract as files, written from the one schema source (RPC-4).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/rpc/contract.h"

namespace tidegate::protocol::rpc {

struct contract_file {
  std::string path;  // below the contract's folder: "schemas/Usage.json"
  std::string text;  // UTF-8, LF, ends with one
};

// By path; the same bytes every time. `source` has passed check_rules.
//   openapi.json     OpenAPI 3.1
//   schemas/*.json   JSON Schema 2020-12, each complete in itself
//   client.ts        types and a small client
std::vector<contract_file> write_contract(const contract& source);

// The parts.
std::string openapi_text(const contract& source);
std::string schema_text(std::string_view name, const shape& type);
std::string client_text(const contract& source);

// The first difference between what is there and what should be; nothing where there is none.
struct difference {
  std::size_t line = 0;  // from 1
  std::string found;     // "" behind the end
  std::string wanted;
};
std::optional<difference> first_difference(std::string_view found, std::string_view wanted);

}  // namespace tidegate::protocol::rpc
