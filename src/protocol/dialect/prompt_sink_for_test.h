// Remembers what a walk hands over.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/dialect/prompt_estimate.h"

namespace tidegate::protocol::dialect::test {

class remembering_sink final : public prompt_sink {
 public:
  void text(std::string_view piece) override {
    words += piece;
    ++pieces;
  }
  void media(const media_item& item) override { items.push_back(item); }
  void tokens(std::int64_t count) override { counted += count; }

  std::string words;
  std::size_t pieces = 0;
  std::vector<media_item> items;
  std::int64_t counted = 0;
};

}  // namespace tidegate::protocol::dialect::test
