// What the journal's tests build their world from: a fold that keeps what it saw, a listener, and one life of
// a journal without a thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "foundation/text.h"
#include "foundation/time.h"
#include "journal/committer.h"
#include "journal/recovery.h"
#include "journal/sync_runner.h"
#include "observe/captured_log.h"

namespace tidegate::journal::kit {

// {"event":"test","id":7,"pad":"…"}
inline std::string payload_of(std::uint64_t id, std::size_t padding = 0) {
  return "{\"event\":\"test\",\"id\":" + std::to_string(id) + ",\"pad\":\"" + std::string(padding, 'x') +
         "\"}";
}

inline std::uint64_t id_of(std::string_view payload) {
  constexpr std::string_view key = "\"id\":";
  const std::size_t at = payload.find(key) + key.size();
  return foundation::parse_u64(payload.substr(at, payload.find(',', at) - at)).value_or(0);
}

// The ids of the records, in order.
class listing_fold final : public fold {
 public:
  void apply(const record_view& record) noexcept override {
    ids.push_back(id_of(record.payload));
    sequences.push_back(record.sequence);
    ++applied;
  }
  std::string save() const override {
    std::string text;
    for (const std::uint64_t id : ids) text += std::to_string(id) + ' ';
    return text;
  }
  bool load(std::string_view saved) override {
    clear();
    while (!saved.empty()) {
      const std::size_t blank = saved.find(' ');
      const auto id = foundation::parse_u64(saved.substr(0, blank));
      if (!id || blank == std::string_view::npos) return false;
      ids.push_back(*id);
      saved.remove_prefix(blank + 1);
    }
    return true;
  }
  void clear() override {
    ids.clear();
    sequences.clear();
    applied = 0;
  }

  std::vector<std::uint64_t> ids;
  // Of the records applied since the last load or clear.
  std::vector<std::uint64_t> sequences;
  std::uint64_t applied = 0;
};

class listening final : public commit_listener {
 public:
  void committed(std::uint64_t cookie) noexcept override { committed_cookies.push_back(cookie); }
  void failed(std::uint64_t cookie) noexcept override { failed_cookies.push_back(cookie); }
  std::vector<std::uint64_t> committed_cookies;
  std::vector<std::uint64_t> failed_cookies;
};

inline settings small_settings() {
  settings config;
  config.dir = "data/journal";
  config.segment_size = 4096;
  config.checkpoint_records = 10;
  return config;
}

// A sync lasts until it is let go, or until somebody waits for it.
class held_sync final : public sync_runner {
 public:
  explicit held_sync(const foundation::clock& time) : time_{time} {}
  void start(sync_job job) override { job_ = std::move(job); }
  std::optional<io<foundation::duration>> poll() override { return std::exchange(result_, std::nullopt); }
  io<foundation::duration> wait() override {
    let_go();
    return *poll();
  }
  bool under_way() const { return job_.has_value(); }
  void let_go() {
    if (job_) result_ = run(*std::exchange(job_, std::nullopt), time_);
  }

 private:
  const foundation::clock& time_;
  std::optional<sync_job> job_;
  std::optional<io<foundation::duration>> result_;
};

// One life of a journal, from opening to the end of its process, on one thread.
class life {
 public:
  // `held`: who makes syncs in place of the calls themselves; it must outlive this.
  life(settings c, file_system& disk, foundation::manual_clock& clock, sync_runner* held = nullptr)
      : config{std::move(c)}, time{clock} {
    auto done = recover(config, disk, time, sums, log);
    if (!done) {
      refusal = done.error();
      return;
    }
    recovered.emplace(std::move(*done));
    auto opened = chain_writer::open(config, disk, recovered->key, sums, time,
                                     held != nullptr ? *held : syncs, nullptr, std::move(recovered->end));
    if (!opened) {
      refusal = opened.error().what;
      return;
    }
    chain = std::move(*opened);
    commits = std::make_unique<committer>(*chain, config, time, log, nullptr);
  }

  bool open() const { return commits != nullptr; }
  // One batch of consecutive ids; its cookie is the first of them.
  void append(std::uint64_t first_id, std::size_t count, durability wanted, std::size_t padding = 0) {
    entry made;
    for (std::size_t i = 0; i < count; ++i) {
      made.records.add(time.wall(), payload_of(first_id + i, padding));
    }
    made.wanted = wanted;
    made.listener = &heard;
    made.cookie = first_id;
    commits->run({&made, 1});
  }
  // Time passes; what is due is done.
  void pass(foundation::milliseconds by) {
    const foundation::instant until = time.now() + by;
    while (!commits->stopped() && commits->due() <= until) {
      if (commits->due() > time.now()) time.advance(commits->due() - time.now());
      commits->run({});
    }
    if (until > time.now()) time.advance(until - time.now());
  }

  settings config;
  foundation::manual_clock& time;
  listing_fold sums;
  listening heard;
  observe::captured_log lines;
  foundation::manual_clock log_time;
  observe::logger log{lines, log_time};
  std::string refusal;
  std::optional<recovery> recovered;
  inline_sync syncs{time};
  std::unique_ptr<chain_writer> chain;
  std::unique_ptr<committer> commits;
};

}  // namespace tidegate::journal::kit
