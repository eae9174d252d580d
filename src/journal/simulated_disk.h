// A disk in memory for tests. What was not synced is lost or torn by a power cut, page by page and in any
// order; the Nth operation can fail; after a failed sync the pages count as clean though they never reached
// the disk, as on Linux. Not thread safe.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "foundation/random.h"
#include "journal/files.h"

namespace tidegate::journal {

class simulated_disk final : public file_system {
 public:
  // Small, so that even small journals span many pages.
  static constexpr std::size_t page = 256;
  static constexpr std::size_t sector = 32;
  using snapshot = std::map<std::string, std::string>;

  simulated_disk() = default;
  // A disk that holds these files, durably.
  explicit simulated_disk(const snapshot& files) {
    for (const auto& [path, bytes] : files) {
      auto made = std::make_shared<inode>();
      made->bytes = bytes;
      made->durable = bytes;
      names_[path] = made;
    }
    durable_names_ = names_;
  }

  // Operations that change or sync something, counted from 1: that one fails, with that errno value.
  void fail_operation(std::uint64_t number, int code) {
    fail_at_ = number;
    fail_code_ = code;
  }
  // From that operation on nothing works: the power is gone.
  void die_at_operation(std::uint64_t number) { die_at_ = number; }
  std::uint64_t operations() const { return operations_; }
  std::uint64_t operations_after_failure() const { return after_failure_; }
  bool failed() const { return failed_; }

  // What the running system sees.
  snapshot contents() const {
    snapshot files;
    for (const auto& [path, node] : names_) files[path] = node->bytes;
    return files;
  }

  // The disk as it is found after a power cut. What was open must not be used any more.
  void cut_power(foundation::random_source& random) {
    const std::size_t applied = static_cast<std::size_t>(random.below(pending_names_.size() + 1));
    for (std::size_t i = 0; i < applied; ++i) pending_names_[i](durable_names_);
    pending_names_.clear();
    for (auto& [path, node] : durable_names_) {
      settle(*node, random);
      node->bytes = node->durable;
    }
    names_ = durable_names_;
    fail_at_ = die_at_ = operations_ = after_failure_ = 0;
    failed_ = false;
  }
  // The process ended and the system went on: nothing is lost, nothing more is durable.
  void end_process() {
    fail_at_ = die_at_ = operations_ = after_failure_ = 0;
    failed_ = false;
  }

  io<std::unique_ptr<file>> open(const std::string& path, open_mode mode) override {
    auto found = names_.find(path);
    if (mode != open_mode::create) {
      if (found == names_.end()) return refusal(ENOENT, "open " + path);
      return std::make_unique<open_file>(*this, found->second);
    }
    if (auto done = operate("create " + path); !done) return std::unexpected{done.error()};
    if (found == names_.end()) {
      auto made = std::make_shared<inode>();
      names_[path] = made;
      pending_names_.push_back([path, made](auto& names) { names[path] = made; });
      return std::make_unique<open_file>(*this, made);
    }
    found->second->truncate(0);
    return std::make_unique<open_file>(*this, found->second);
  }

  io<std::vector<std::string>> list(const std::string& directory) override {
    std::vector<std::string> found;
    const std::string prefix = directory + '/';
    for (const auto& [path, node] : names_) {
      if (path.starts_with(prefix)) found.push_back(path.substr(prefix.size()));
    }
    return found;
  }

  io<void> rename(const std::string& from, const std::string& to) override {
    if (auto done = operate("rename " + from); !done) return done;
    const auto change = [from, to](auto& names) {
      const auto found = names.find(from);
      if (found == names.end()) return;
      names[to] = found->second;
      names.erase(from);
    };
    if (!names_.contains(from)) return refusal(ENOENT, "rename " + from);
    change(names_);
    pending_names_.push_back(change);
    return {};
  }

  io<void> remove(const std::string& path) override {
    if (auto done = operate("remove " + path); !done) return done;
    if (names_.erase(path) == 0) return refusal(ENOENT, "remove " + path);
    pending_names_.push_back([path](auto& names) { names.erase(path); });
    return {};
  }

  io<void> make_directory(const std::string&) override { return {}; }

  io<void> sync_directory(const std::string& path) override {
    if (auto done = operate("sync " + path); !done) return done;
    for (const auto& change : pending_names_) change(durable_names_);
    pending_names_.clear();
    return {};
  }

 private:
  struct inode {
    std::string bytes;
    std::string durable;
    // Pages written since the last sync that succeeded.
    std::set<std::size_t> dirty;

    void touch(std::size_t from, std::size_t to) {
      for (std::size_t p = from / page; p * page < to; ++p) dirty.insert(p);
    }
    void truncate(std::size_t size) {
      if (size < bytes.size()) bytes.resize(size);
      // What a file system drops at once: pages behind the end.
      std::erase_if(dirty, [size](std::size_t p) { return p * page >= size; });
    }
  };
  using name_map = std::map<std::string, std::shared_ptr<inode>>;

  class open_file final : public file {
   public:
    open_file(simulated_disk& disk, std::shared_ptr<inode> node) : disk_{disk}, node_{std::move(node)} {}

    io<void> write(std::uint64_t offset, std::span<const std::string_view> pieces) override {
      std::string all;
      for (const std::string_view piece : pieces) all += piece;
      const auto done = disk_.operate("write");
      // A write that fails may have come any part of the way.
      if (!done) all.resize(all.size() * ((disk_.operations_ * 7) % 11) / 10 % (all.size() + 1));
      const auto at = static_cast<std::size_t>(offset);
      if (!all.empty()) {
        if (node_->bytes.size() < at + all.size()) node_->bytes.resize(at + all.size(), '\0');
        node_->bytes.replace(at, all.size(), all);
        node_->touch(at, at + all.size());
      }
      return done;
    }
    io<std::size_t> read(std::uint64_t offset, std::span<char> into) override {
      const auto at = std::min(static_cast<std::size_t>(offset), node_->bytes.size());
      return node_->bytes.copy(into.data(), into.size(), at);
    }
    io<std::uint64_t> size() override { return node_->bytes.size(); }
    io<void> truncate(std::uint64_t size) override {
      if (auto done = disk_.operate("truncate"); !done) return done;
      node_->truncate(static_cast<std::size_t>(size));
      return {};
    }
    io<void> sync() override {
      if (auto done = disk_.operate("sync"); !done) {
        node_->dirty.clear();
        return done;
      }
      // Only pages known to be dirty are written; what a failed sync forgot stays forgotten.
      node_->durable.resize(node_->bytes.size(), '\0');
      for (const std::size_t p : node_->dirty) {
        if (p * page >= node_->bytes.size()) continue;
        const std::size_t length = std::min(page, node_->bytes.size() - p * page);
        node_->durable.replace(p * page, length, node_->bytes, p * page, length);
      }
      node_->dirty.clear();
      return {};
    }

   private:
    simulated_disk& disk_;
    std::shared_ptr<inode> node_;
  };

  static std::unexpected<io_failure> refusal(int code, std::string what) {
    return std::unexpected{io_failure{code, std::move(what) + ": refused by the simulated disk"}};
  }

  io<void> operate(const std::string& what) {
    ++operations_;
    if (failed_) ++after_failure_;
    if (die_at_ != 0 && operations_ >= die_at_) {
      failed_ = true;
      return refusal(EIO, what);
    }
    if (fail_at_ == operations_) {
      failed_ = true;
      return refusal(fail_code_, what);
    }
    return {};
  }

  // Each page that was not synced is there, or not, or in parts; the file's size is anything in between.
  static void settle(inode& node, foundation::random_source& random) {
    const std::size_t before = node.durable.size();
    const std::size_t after = node.bytes.size();
    std::size_t size = random.below(2) == 0 ? after : before;
    if (random.below(3) == 0) {
      size = std::min(before, after) +
             static_cast<std::size_t>(random.below(std::max(before, after) - std::min(before, after) + 1));
    }
    const std::uint64_t manner = random.below(4);
    for (const std::size_t p : node.dirty) {
      const std::size_t from = p * page;
      const std::size_t to = std::min(from + page, after);
      if (node.durable.size() < to) node.durable.resize(to, '\0');
      for (std::size_t s = from; s < to; s += sector) {
        const bool kept = manner == 0 || (manner == 1 && random.below(2) == 0) ||
                          (manner == 2 && (p ^ static_cast<std::size_t>(random.below(2))) % 2 == 0);
        if (kept) node.durable.replace(s, std::min(sector, to - s), node.bytes, s, std::min(sector, to - s));
      }
    }
    node.durable.resize(size, '\0');
    node.dirty.clear();
  }

  name_map names_;
  name_map durable_names_;
  std::vector<std::function<void(name_map&)>> pending_names_;
  std::uint64_t operations_ = 0;
  std::uint64_t after_failure_ = 0;
  std::uint64_t fail_at_ = 0;
  std::uint64_t die_at_ = 0;
  int fail_code_ = 0;
  bool failed_ = false;
};

}  // namespace tidegate::journal
