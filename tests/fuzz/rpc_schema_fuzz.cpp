// Any bytes against every shape of the session surface: no crash, issues within their bounds, and what passes
// still passes when it has been written anew.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "foundation/check.h"
#include "protocol/json/json.h"
#include "protocol/rpc/contract.h"
#include "protocol/rpc/contract_names.h"
#include "protocol/rpc/envelope.h"
#include "protocol/rpc/json_path.h"
#include "protocol/rpc/schema.h"
#include "protocol/rpc/schema_samples_for_test.h"

namespace {

using namespace tidegate::protocol;

// The deepest text that the writer takes is 63 levels.
constexpr std::size_t depth_max = 60;

const std::vector<rpc::named_shape>& all_shapes() {
  static const std::vector<rpc::named_shape> all = rpc::all_named_shapes(rpc::session_contract());
  return all;
}

// The same value by other bytes: no blanks, strings with other escapes, numbers in their shortest form.
void write_anew(json::writer& w, const json::value& v) {
  if (v.is_object()) {
    w.begin_object();
    for (const json::member& m : v.members()) {
      w.key(m.key());
      write_anew(w, m.content);
    }
    w.end_object();
  } else if (v.is_array()) {
    w.begin_array();
    for (const json::value& e : v.elements()) write_anew(w, e);
    w.end_array();
  } else if (v.is_string()) {
    w.string(*v.as_string());
  } else if (const auto whole = v.as_int()) {
    w.number(*whole);
  } else {
    w.raw(v.raw());
  }
}

void check_issues(const std::vector<rpc::issue>& issues) {
  TG_CHECK(issues.size() <= rpc::issues_max);
  for (const rpc::issue& i : issues) {
    TG_CHECK(!i.path.empty() && i.path.size() <= rpc::path_max + rpc::path_name_max + 32);
    TG_CHECK(!i.message.empty() && !i.expected.empty() && !i.received_type.empty());
  }
  const auto failure = rpc::validation_failure(issues);
  TG_CHECK(json::validate(failure.details));
  TG_CHECK(json::validate(rpc::error_envelope(failure, "", "r", {})));
}

void check_shape(const rpc::shape& wanted, std::string_view text, const json::value& given) {
  const std::vector<rpc::issue> issues = rpc::validate(wanted, given);
  check_issues(issues);
  TG_CHECK(rpc::read(wanted, text, depth_max).ok() == issues.empty());
  if (!issues.empty()) return;
  std::string anew;
  json::writer w{anew};
  write_anew(w, given);
  TG_CHECK(rpc::read(wanted, anew).ok());
  TG_CHECK(json::validate(rpc::ok_envelope(anew, "r", {})));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  // The first byte chooses a shape; the second one whether the rest is the text, or is spliced into a good
  // sample at the place that the next two say.
  const rpc::shape& wanted = *all_shapes()[data[0] % all_shapes().size()].type;
  std::string text{reinterpret_cast<const char*>(data) + 4, size - 4};
  if (data[1] % 2 == 1) {
    std::string sample =
        rpc::sample_of(wanted, {.optional_members = (data[1] & 2U) == 0, .variant = data[1] / 4U});
    const std::size_t at = (data[2] + std::size_t{data[3]} * 256) % (sample.size() + 1);
    // Over what is there, or between it.
    sample.replace(at, (data[1] & 128U) != 0 ? text.size() : 0, text);
    text = std::move(sample);
  }
  const auto parsed = json::parse(text, depth_max);
  if (parsed) {
    check_shape(wanted, text, *parsed);
  } else {
    check_issues(rpc::read(wanted, text, depth_max).issues);
  }
  return 0;
}
