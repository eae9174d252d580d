// Takes secrets out of text that may be logged or shown (SEC-3): text of providers and of errors, URLs,
// headers.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tidegate::observe {

// `text` with these replaced by "***":
// - keys by their looks: words that begin with sk-, pk-, rk-, ak- or tg- (or sk_ …), Google's AIza…; the
// prefix stays;
// - what follows "Bearer" or "Basic";
// - values of members and headers whose name says secret: authorization, x-api-key, api_key, cookie,
// password, …;
// - every occurrence of the `known` secrets (empty ones are ignored);
// and with URLs shorn of user information, query and fragment.
// It rather masks too much than too little. Linear in the text's size times the number of known secrets.
std::string redact(std::string_view text, std::span<const std::string_view> known = {});

}  // namespace tidegate::observe
