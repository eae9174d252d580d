#include "observe/metrics.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "observe/registry.h"

namespace tidegate::observe {
namespace {

using namespace std::chrono_literals;
using namespace std::string_view_literals;

TEST(metrics, exposition_has_help_type_and_samples) {
  registry all;
  all.counters("a_total", "Things\nwith \\.", {"kind"}).with({"x"}).add(3);
  all.gauges("b", "A level.").with({}).set(-2);
  EXPECT_EQ(all.expose(),
            "# HELP a_total Things\\nwith \\\\.\n"
            "# TYPE a_total counter\n"
            "a_total{kind=\"x\"} 3\n"
            "# HELP b A level.\n"
            "# TYPE b gauge\n"
            "b -2\n");
}

TEST(metrics, histogram_buckets_are_cumulative_and_inclusive) {
  registry all;
  auto& h = all.latencies("h_seconds", "Time.", {1ms, 10ms, 1s}, {"p"}).with({"q"});
  for (const foundation::duration d :
       std::vector<foundation::duration>{-5ms, 1ms, 1ms + 1ns, 500ms, 1s, 2s}) {
    h.observe(d);
  }
  EXPECT_EQ(all.expose(),
            "# HELP h_seconds Time.\n"
            "# TYPE h_seconds histogram\n"
            "h_seconds_bucket{p=\"q\",le=\"0.001\"} 2\n"
            "h_seconds_bucket{p=\"q\",le=\"0.01\"} 3\n"
            "h_seconds_bucket{p=\"q\",le=\"1\"} 5\n"
            "h_seconds_bucket{p=\"q\",le=\"+Inf\"} 6\n"
            "h_seconds_sum{p=\"q\"} 3.502000001\n"
            "h_seconds_count{p=\"q\"} 6\n");
}

TEST(metrics, label_values_are_escaped_repaired_and_cut) {
  registry all;
  auto& family = all.counters("a_total", "A.", {"k"});
  family.with({"q\"b\\n\nx\xFF"sv}).add();
  family.with({std::string(label_value_max - 1, 'y') + "é"}).add();
  const std::string text = all.expose();
  EXPECT_NE(text.find("a_total{k=\"q\\\"b\\\\n\\nx\uFFFD\"} 1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("{k=\"" + std::string(label_value_max - 1, 'y') + "\"} 1\n"), std::string::npos)
      << text;
}

TEST(metrics, label_sets_are_bounded) {
  registry all;
  auto& family = all.counters("a_total", "A.", {"model", "kind"});
  for (std::size_t i = 0; i < label_sets_max + 500; ++i)
    family.with({"m" + std::to_string(i), "input"}).add();
  EXPECT_EQ(family.size(), label_sets_max + 1);
  EXPECT_EQ(family.with({"other", "other"}).total(), 500U);
  EXPECT_EQ(family.with({"m0", "input"}).total(), 1U);
}

TEST(metrics, counting_from_many_threads_loses_nothing) {
  registry all;
  auto& family = all.counters("a_total", "A.", {"route", "code"});
  auto& h = all.latencies("h_seconds", "H.", {1ms}).with({});
  counter_by by_code{family, {"r"}};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 12; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 5000; ++i) {
          by_code.add(i % 2 == 0 ? "OK" : "TIMEOUT");
          h.observe(2ms);
        }
      });
    }
  }
  EXPECT_EQ(family.with({"r", "OK"}).total(), 30'000U);
  EXPECT_EQ(family.with({"r", "TIMEOUT"}).total(), 30'000U);
  EXPECT_EQ(h.read().count, 60'000U);
  EXPECT_EQ(h.read().sum, 120s);
}

TEST(metrics, open_ended_last_labels_still_count) {
  registry all;
  auto& family = all.counters("a_total", "A.", {"code"});
  counter_by by_code{family, {}};
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 100; ++i) by_code.add("c" + std::to_string(i));
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(family.with({"c" + std::to_string(i)}).total(), 2U);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in{text};
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(gateway_metrics, exposes_every_metric_of_the_interface) {
  gateway_metrics all;
  all.exchange_done("openai_chat", "default", "OK");
  all.exchanges("openai_chat", "default").add("OK");
  all.attempt_done("openai", "success");
  all.provider("openai").attempt_done("timeout");
  all.overhead(42us);
  all.ttft("openai", 320ms);
  all.breaker_state("openai", breaker_gauge::open);
  all.breaker_transition("openai", "open");
  all.tokens("openai", "gpt-4o", "input", 120);
  all.tokens("openai", "gpt-4o").add("output", 7);
  all.cost_microdollars(15);
  all.refusal("AI_RATE_LIMITED");
  all.queue_depth(4);
  all.queue_depth_changed(-1);
  all.journal_records(2);
  all.journal_sync(3ms);
  all.open_streams(1);
  all.open_streams(1);
  all.open_streams(-1);
  all.build_info("0.1.0");
  const auto lines = lines_of(all.expose());
  for (const std::string& expected : std::vector<std::string>{
           R"(tidegate_exchanges_total{surface="openai_chat",route="default",code="OK"} 2)",
           R"(tidegate_attempts_total{provider="openai",outcome="success"} 1)",
           R"(tidegate_attempts_total{provider="openai",outcome="timeout"} 1)",
           R"(tidegate_overhead_seconds_bucket{le="3e-05"} 0)",
           R"(tidegate_overhead_seconds_bucket{le="5e-05"} 1)",
           R"(tidegate_overhead_seconds_bucket{le="+Inf"} 1)",
           R"(tidegate_overhead_seconds_sum 4.2e-05)",
           R"(tidegate_overhead_seconds_count 1)",
           R"(tidegate_ttft_seconds_bucket{provider="openai",le="0.5"} 1)",
           R"(tidegate_breaker_state{provider="openai"} 2)",
           R"(tidegate_breaker_transitions_total{provider="openai",to="open"} 1)",
           R"(tidegate_llm_tokens_total{provider="openai",model="gpt-4o",kind="input"} 120)",
           R"(tidegate_llm_tokens_total{provider="openai",model="gpt-4o",kind="output"} 7)",
           R"(tidegate_cost_microdollars_total 15)",
           R"(tidegate_refusals_total{code="AI_RATE_LIMITED"} 1)",
           R"(tidegate_queue_depth 3)",
           R"(tidegate_journal_records_total 2)",
           R"(tidegate_journal_sync_seconds_count 1)",
           R"(tidegate_open_streams 1)",
           R"(tidegate_build_info{version="0.1.0"} 1)"}) {
    EXPECT_NE(std::find(lines.begin(), lines.end(), expected), lines.end()) << expected;
  }
}

TEST(gateway_metrics, unlabelled_metrics_stand_at_zero_from_the_start) {
  const gateway_metrics all;
  const std::string text = all.expose();
  EXPECT_NE(text.find("\ntidegate_open_streams 0\n"), std::string::npos);
  EXPECT_NE(text.find("\ntidegate_cost_microdollars_total 0\n"), std::string::npos);
  EXPECT_NE(text.find("\ntidegate_overhead_seconds_count 0\n"), std::string::npos);
}

TEST(gateway_metrics, models_named_by_callers_cannot_grow_it_without_bound) {
  gateway_metrics all;
  for (int i = 0; i < 5000; ++i) all.tokens("p", "model-" + std::to_string(i), "input", 1);
  const auto lines = lines_of(all.expose());
  const auto sets = std::count_if(lines.begin(), lines.end(), [](const std::string& line) {
    return line.starts_with("tidegate_llm_tokens_total{");
  });
  EXPECT_EQ(sets, static_cast<std::ptrdiff_t>(label_sets_max) + 1);
}

}  // namespace
}  // namespace tidegate::observe
