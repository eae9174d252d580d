// How long the writer thread takes for a record (at most 6 µs: docs/PERFORMANCE.md), and how long a start
// takes.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>

#include "journal/committer.h"
#include "journal/crc32c.h"
#include "journal/posix_files.h"
#include "journal/recovery.h"
#include "observe/captured_log.h"

namespace tidegate::journal {
namespace {

// As large as most: a leg's end with its ids, provider, model and figures.
constexpr std::string_view payload =
    R"({"event":"ai_leg_finished","runId":"019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071","traceId":"4bf92f3577b34da6a3ce929d0e0e4736","leg":1,"provider":"openai","model":"gpt-4o-mini-2024-07-18","outcome":"success","status":200,"retries":0,"durationMs":1234})";

class counting_fold final : public fold {
 public:
  void apply(const record_view&) noexcept override { ++applied; }
  std::string save() const override { return std::to_string(applied); }
  bool load(std::string_view) override { return true; }
  void clear() override { applied = 0; }
  std::uint64_t applied = 0;
};

struct world {
  world() : root{std::filesystem::temp_directory_path().string() + "/tidegate-bench-XXXXXX"} {
    if (::mkdtemp(root.data()) == nullptr) std::abort();
    config.dir = root + "/journal";
  }
  ~world() { std::filesystem::remove_all(root); }
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  void open() {
    auto done = recover(config, files, time, sums, log);
    if (!done) std::abort();
    report = done->report;
    key = std::make_unique<signing_key>(std::move(done->key));
    chain =
        std::move(*chain_writer::open(config, files, *key, sums, time, syncs, nullptr, std::move(done->end)));
    commits = std::make_unique<committer>(*chain, config, time, log, nullptr);
  }
  void append(std::int64_t count) {
    entry made;
    for (std::int64_t i = 0; i < count; ++i) made.records.add(time.wall(), payload);
    commits->run({&made, 1});
  }

  std::string root;
  settings config;
  posix_files files;
  foundation::system_clock time;
  counting_fold sums;
  observe::captured_log lines;
  observe::logger log{lines, time};
  recovery_report report;
  std::unique_ptr<signing_key> key;
  inline_sync syncs{time};
  std::unique_ptr<chain_writer> chain;
  std::unique_ptr<committer> commits;
};

// Everything that the thread does for a record, checkpoints, rotation and background syncs included; range:
// how many arrive at once.
void write_records(benchmark::State& state) {
  world w;
  w.open();
  for (auto _ : state) w.append(state.range(0));
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["cpu_per_record"] =
      benchmark::Counter(static_cast<double>(state.iterations() * state.range(0)),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(write_records)->Arg(1)->Arg(4)->Arg(32)->Arg(256);

// A journal of 64 MiB that was killed: verified, and folded from its last state.
void open_64_mib(benchmark::State& state) {
  world w;
  w.config.checkpoint_interval = foundation::milliseconds{3'600'000};
  w.open();
  while (w.chain->sequence() < (std::uint64_t{64} << 20) / (payload.size() + record_header_size))
    w.append(256);
  for (auto _ : state) {
    w.commits.reset();
    w.chain.reset();
    w.open();
  }
  state.counters["records"] = static_cast<double>(w.report.records_checked);
  state.counters["folded"] = static_cast<double>(w.report.records_folded);
}
BENCHMARK(open_64_mib)->Unit(benchmark::kMillisecond)->UseRealTime();

void checksum_of_300_bytes(benchmark::State& state) {
  const std::string bytes(300, 'x');
  for (auto _ : state) {
    benchmark::DoNotOptimize(state.range(0) == 0 ? crc32c(bytes) : crc32c_portable(bytes));
  }
}
BENCHMARK(checksum_of_300_bytes)->Arg(0)->Arg(1);

void hash_of_300_bytes(benchmark::State& state) {
  hasher hash;
  const std::string bytes(300, 'x');
  for (auto _ : state) benchmark::DoNotOptimize(hash(bytes));
}
BENCHMARK(hash_of_300_bytes);

}  // namespace
}  // namespace tidegate::journal
