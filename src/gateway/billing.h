// What a provider reported, as prices count it.
#pragma once

#include "policy/pricing.h"
#include "protocol/dialect/canonical.h"

namespace tidegate::gateway {

inline policy::llm_usage priced_usage(const protocol::dialect::usage& reported) {
  policy::llm_usage used;
  used.input = reported.prompt;
  used.cached = reported.cached;
  used.cache_write = reported.cache_write;
  used.cache_write_1h = reported.cache_write_1h;
  used.output = reported.completion;
  used.web_searches = reported.web_searches;
  return used;
}

}  // namespace tidegate::gateway
