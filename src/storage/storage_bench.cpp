// What a request pays: is it a key's text at all, whose is it, and its trace on the store's thread.
#include <benchmark/benchmark.h>

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "storage/client_key.h"
#include "storage/sqlite/sqlite_stores.h"

namespace tidegate::storage {
namespace {

void check_key_text(benchmark::State& state) {
  const std::string key = make_client_key();
  for (auto unused : state) benchmark::DoNotOptimize(well_formed_client_key(key));
}
BENCHMARK(check_key_text);

void mac_of_key_text(benchmark::State& state) {
  const auto mac = key_mac::of(*master_key::random());
  const std::string key = make_client_key();
  for (auto unused : state) benchmark::DoNotOptimize(mac->of_text(key));
}
BENCHMARK(mac_of_key_text);

void seal_ten_kilobytes(benchmark::State& state) {
  const auto seal = sealer::of(*master_key::random());
  const std::string text(10'240, 'x');
  for (auto unused : state) benchmark::DoNotOptimize(seal->seal("trace/run", text));
}
BENCHMARK(seal_ten_kilobytes);

// CPU of all threads, so that the store's own counts. Texts of 1 KB in, 1 KB out.
void trace_in_sqlite(benchmark::State& state) {
  std::string folder = (std::filesystem::temp_directory_path() / "tidegate-bench-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return state.SkipWithError("no temporary folder");
  auto seal = std::make_shared<const sealer>(*sealer::of(*master_key::random()));
  auto all = sqlite::open({.path = folder + "/tidegate.db"}, std::move(seal));
  if (!all) return state.SkipWithError(all.error().c_str());
  trace_record run;
  run.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
  run.mode = "ask";
  run.model = "gpt-4o";
  run.input_text = std::string(1'024, 'i');
  run.output_text = std::string(1'024, 'o');
  constexpr int together = 256;
  std::uint64_t n = 0;
  for (auto unused : state) {
    for (int i = 0; i < together; ++i) {
      run.run_id = "0193a1b2-7c3d-7e4f-8a5b-" + std::to_string(100'000'000'000 + n++);
      (*all)->traces().put({run}, [](result<void>) {});
    }
    benchmark::DoNotOptimize(
        wait_for<bool>([&](auto answer) { (*all)->traces().is_strong_negative("none", std::move(answer)); }));
  }
  state.SetItemsProcessed(state.iterations() * together);
  all->reset();
  std::filesystem::remove_all(folder);
}
BENCHMARK(trace_in_sqlite)->MeasureProcessCPUTime()->UseRealTime();

}  // namespace
}  // namespace tidegate::storage
