// The built-in price catalogue: which entry of which vendor a target is charged by (COST-1). The data are
// facts gathered by tools/make_price_catalogue into price_catalogue_data.inc.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "foundation/time.h"
#include "policy/pricing.h"

namespace tidegate::policy::price_catalogue {

// The day up to which published prices are gathered, "YYYY-MM-DD".
std::string_view dated();

// The vendor's id ("openai", "aws", ...) that a target is charged by, empty if nobody known: by address, else
// by kind, else by the model's name.
std::string_view vendor_of(const priced_target& target);

// The price of a vendor's model at `now`. Names match without regard to case. Where a vendor sells another's
// models at their prices, those are searched too.
std::optional<model_price> find(std::string_view vendor, std::string_view model, foundation::wall_time now);

// One model of a vendor, for display.
struct listed_model {
  std::string_view vendor;
  std::string_view id;
  model_price price;
};
std::vector<listed_model> list(std::string_view vendor, foundation::wall_time now);

// Whether a pattern matches a whole text, without regard to case: `*` stands for any run of characters, `#`
// for a digit.
bool matches(std::string_view pattern, std::string_view text);

}  // namespace tidegate::policy::price_catalogue
