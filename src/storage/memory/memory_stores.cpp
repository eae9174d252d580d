#include "storage/memory/memory_stores.h"

#include <algorithm>
#include <map>
#include <utility>

#include "storage/memory/memory_chats.h"
#include "storage/memory/memory_usage.h"
#include "storage/reply_seal.h"
#include "storage/trace_text.h"

namespace tidegate::storage::memory {
namespace {

class memory_keys final : public key_store {
 public:
  explicit memory_keys(common& shared) : shared_{shared} {}

  void put(client_key key, done<void> answer) override {
    shared_.call<void>(
        [&]() -> result<void> {
          if (static_cast<std::size_t>(std::ranges::count_if(keys_, &client_key::live)) >= client_keys_max)
            return fail(store_problem::too_large, "no room for another client key");
          for (const client_key& known : keys_) {
            if (known.id == key.id || known.mac == key.mac || (known.live() && known.name == key.name)) {
              return fail(store_problem::conflict, "taken");
            }
          }
          keys_.push_back(std::move(key));
          return {};
        },
        answer);
  }
  void list(done<std::vector<client_key>> answer) override {
    shared_.call<std::vector<client_key>>(
        [&]() -> result<std::vector<client_key>> {
          auto sorted = keys_;
          std::ranges::sort(sorted, [](const client_key& a, const client_key& b) {
            return std::tie(a.created_at, a.id) < std::tie(b.created_at, b.id);
          });
          return sorted;
        },
        answer);
  }
  void revoke(std::string id, wall_time at, done<client_key> answer) override {
    change(id, answer, [at](client_key& key) -> result<void> {
      key.revoked_at = at;
      return {};
    });
  }
  void rotate(std::string id, mac_bytes mac, wall_time at, done<client_key> answer) override {
    change(id, answer, [&](client_key& key) -> result<void> {
      const bool taken =
          std::ranges::any_of(keys_, [&](const client_key& k) { return &k != &key && k.mac == mac; });
      if (taken) return fail(store_problem::conflict, "taken");
      key.mac = mac;
      key.rotated_at = at;
      return {};
    });
  }

 private:
  template <typename Change>
  void change(const std::string& id, done<client_key>& answer, Change make) {
    shared_.call<client_key>(
        [&]() -> result<client_key> {
          const auto at =
              std::ranges::find_if(keys_, [&](const client_key& k) { return k.id == id && k.live(); });
          if (at == keys_.end()) return fail(store_problem::not_found, "no such client key");
          if (auto made = make(*at); !made) return std::unexpected{made.error()};
          return *at;
        },
        answer);
  }
  common& shared_;
  std::vector<client_key> keys_;
};

class memory_secrets final : public secret_store {
 public:
  explicit memory_secrets(common& shared) : shared_{shared} {}

  void set(std::string name, std::string sealed, wall_time at, done<void> answer) override {
    shared_.call<void>([&] { return write(name, std::move(sealed), at); }, answer);
  }
  void list(done<std::vector<secret_entry>> answer) override {
    shared_.call<std::vector<secret_entry>>(
        [&]() -> result<std::vector<secret_entry>> {
          std::vector<secret_entry> entries;
          for (const auto& [name, held] : secrets_) entries.push_back({name, held.updated_at});
          return entries;
        },
        answer);
  }
  void get(std::string name, done<std::optional<std::string>> answer) override {
    shared_.call<std::optional<std::string>>(
        [&]() -> result<std::optional<std::string>> {
          const auto at = secrets_.find(name);
          return at == secrets_.end() ? std::nullopt : std::optional{at->second.sealed};
        },
        answer);
  }
  void remove(std::string name, done<void> answer) override {
    shared_.call<void>(
        [&]() -> result<void> {
          if (secrets_.erase(name) == 0) return fail(store_problem::not_found, "no such secret");
          return {};
        },
        answer);
  }

  // Under the lock.
  result<void> write(const std::string& name, std::string sealed, wall_time at) {
    if (sealed.size() > sealed_secret_max) return fail(store_problem::too_large, "the secret is too long");
    if (!secrets_.contains(name) && secrets_.size() >= secrets_max) {
      return fail(store_problem::too_large, "no room for another secret");
    }
    secrets_[name] = {std::move(sealed), at};
    return {};
  }

  struct held {
    std::string sealed;
    wall_time updated_at;
  };
  using table = std::map<std::string, held>;
  table& content() { return secrets_; }

 private:
  common& shared_;
  table secrets_;
};

class memory_settings final : public setting_store {
 public:
  memory_settings(common& shared, memory_secrets& secrets) : shared_{shared}, secrets_{secrets} {}

  void apply(std::vector<setting_change> changes, std::vector<secret_change> secrets, wall_time at,
             done<void> answer) override {
    shared_.call<void>(
        [&]() -> result<void> {
          auto settings_before = settings_;
          auto secrets_before = secrets_.content();
          auto done = write(changes, secrets, at);
          if (!done) {
            settings_ = std::move(settings_before);
            secrets_.content() = std::move(secrets_before);
          }
          return done;
        },
        answer);
  }
  void list(std::string prefix, done<std::vector<setting>> answer) override {
    shared_.call<std::vector<setting>>(
        [&]() -> result<std::vector<setting>> {
          std::vector<setting> found;
          for (auto at = settings_.lower_bound(prefix);
               at != settings_.end() && at->first.starts_with(prefix); ++at) {
            found.push_back({at->first, at->second});
          }
          return found;
        },
        answer);
  }
  void get(std::string name, done<std::optional<std::string>> answer) override {
    shared_.call<std::optional<std::string>>(
        [&]() -> result<std::optional<std::string>> {
          const auto at = settings_.find(name);
          return at == settings_.end() ? std::nullopt : std::optional{at->second};
        },
        answer);
  }

 private:
  result<void> write(std::vector<setting_change>& changes, std::vector<secret_change>& secrets,
                     wall_time at) {
    for (setting_change& change : changes) {
      if (!change.json) {
        settings_.erase(change.name);
        continue;
      }
      if (change.json->size() > setting_text_max)
        return fail(store_problem::too_large, "the setting is too long");
      if (!settings_.contains(change.name) && settings_.size() >= settings_max) {
        return fail(store_problem::too_large, "no room for another setting");
      }
      settings_[change.name] = std::move(*change.json);
    }
    for (secret_change& change : secrets) {
      if (!change.sealed) {
        secrets_.content().erase(change.name);
      } else if (auto wrote = secrets_.write(change.name, std::move(*change.sealed), at); !wrote) {
        return wrote;
      }
    }
    return {};
  }
  common& shared_;
  memory_secrets& secrets_;
  std::map<std::string, std::string> settings_;
};

class memory_traces final : public trace_store {
 public:
  explicit memory_traces(common& shared) : shared_{shared} {}

  void put(std::vector<trace_record> batch, done<void> answer) override {
    shared_.call<void>(
        [&]() -> result<void> {
          const sealer* const seal = shared_.seal.get();
          for (trace_record& run : batch) {
            run.input_text = seal_trace_text(seal, run.run_id, "input", std::move(run.input_text));
            run.output_text = seal_trace_text(seal, run.run_id, "output", std::move(run.output_text));
            std::string id = run.run_id;
            runs_[std::move(id)].record = std::move(run);
          }
          return {};
        },
        answer);
  }
  void get(std::string run_id, done<std::optional<trace_record>> answer) override {
    shared_.call<std::optional<trace_record>>(
        [&]() -> result<std::optional<trace_record>> {
          const auto at = runs_.find(run_id);
          if (at == runs_.end()) return std::optional<trace_record>{};
          trace_record run = at->second.record;
          run.input_text = unseal_trace_text(shared_.seal.get(), run_id, "input", run.input_text);
          run.output_text = unseal_trace_text(shared_.seal.get(), run_id, "output", run.output_text);
          return std::optional{std::move(run)};
        },
        answer);
  }
  void put_feedback(feedback_record feedback, done<feedback_outcome> answer) override {
    shared_.call<feedback_outcome>(
        [&]() -> result<feedback_outcome> {
          if (feedback.evidence_ref.size() > evidence_ref_max) {
            return fail(store_problem::too_large, "evidenceRef is too long");
          }
          const auto at = runs_.find(feedback.run_id);
          if (at == runs_.end()) return fail(store_problem::not_found, "no trace of that run");
          const std::string trace_id = at->second.record.trace_id;
          at->second.feedback.push_back({feedback.run_id, trace_id, feedback.action,
                                         std::move(feedback.evidence_ref), feedback.created_at});
          if (at->second.feedback.size() > feedback_kept_max)
            at->second.feedback.erase(at->second.feedback.begin());
          const auto& group = at->second.record.candidate_group;
          return feedback_outcome{trace_id, group && all_rejected(*group)};
        },
        answer);
  }
  void feedback_of(std::string run_id, done<std::vector<stored_feedback>> answer) override {
    shared_.call<std::vector<stored_feedback>>(
        [&]() -> result<std::vector<stored_feedback>> {
          const auto at = runs_.find(run_id);
          return at == runs_.end() ? std::vector<stored_feedback>{} : at->second.feedback;
        },
        answer);
  }
  void is_strong_negative(std::string group, done<bool> answer) override {
    shared_.call<bool>([&]() -> result<bool> { return marked_.contains(group); }, answer);
  }
  void purge(wall_time completed_before, std::size_t rows_max, done<std::size_t> answer) override {
    shared_.call<std::size_t>([&]() -> result<std::size_t> { return erase(completed_before, rows_max); },
                              answer);
  }

 private:
  struct entry {
    trace_record record;  // texts sealed
    std::vector<stored_feedback> feedback;
  };

  bool all_rejected(const std::string& group) {
    const bool all = std::ranges::all_of(runs_, [&](const auto& run) {
      const entry& e = run.second;
      if (e.record.candidate_group != group || e.record.code) return true;
      return !e.feedback.empty() && e.feedback.back().action == feedback_action::reject;
    });
    if (all) {
      marked_[group] = true;
    } else {
      marked_.erase(group);
    }
    return all;
  }

  std::size_t erase(wall_time completed_before, std::size_t rows_max) {
    std::vector<std::pair<wall_time, std::string>> old;
    for (const auto& [id, e] : runs_) {
      if (e.record.completed_at < completed_before) old.emplace_back(e.record.completed_at, id);
    }
    std::ranges::sort(old);
    if (old.size() > rows_max) old.resize(rows_max);
    for (const auto& [at, id] : old) runs_.erase(id);
    std::erase_if(marked_, [&](const auto& mark) {
      return std::ranges::none_of(
          runs_, [&](const auto& run) { return run.second.record.candidate_group == mark.first; });
    });
    return old.size();
  }

  common& shared_;
  std::map<std::string, entry> runs_;
  std::map<std::string, bool> marked_;
};

class memory_replies final : public reply_store {
 public:
  memory_replies(common& shared, reply_bounds bounds) : shared_{shared}, bounds_{bounds} {}

  void put(reply_key key, kept_reply reply, done<void> answer) override {
    shared_.call<void>([&] { return insert(std::move(key), std::move(reply)); }, answer);
  }
  void get(reply_key key, wall_time made_since, done<std::optional<kept_reply>> answer) override {
    shared_.call<std::optional<kept_reply>>(
        [&]() -> result<std::optional<kept_reply>> {
          const auto at = replies_.find(key);
          if (at == replies_.end()) return std::optional<kept_reply>{};
          if (at->second.reply.created_at < made_since) {
            remove(at);
            return std::optional<kept_reply>{};
          }
          kept_reply reply = at->second.reply;
          unseal_reply(shared_.seal.get(), key, reply);
          return std::optional{std::move(reply)};
        },
        answer);
  }
  void purge(wall_time created_before, std::size_t rows_max, done<std::size_t> answer) override {
    shared_.call<std::size_t>(
        [&]() -> result<std::size_t> {
          std::size_t gone = 0;
          for (; gone < rows_max && !replies_.empty(); ++gone) {
            const auto at = oldest();
            if (at->second.reply.created_at >= created_before) break;
            remove(at);
          }
          return gone;
        },
        answer);
  }

 private:
  struct entry {
    kept_reply reply;  // headers and body sealed
    std::size_t bytes = 0;
    std::uint64_t order = 0;
  };

  using all = std::map<reply_key, entry>;
  all::iterator oldest() {
    return std::ranges::min_element(replies_, {}, [](const auto& item) {
      return std::pair{item.second.reply.created_at, item.second.order};
    });
  }
  void remove(all::iterator which) {
    held_ -= which->second.bytes;
    replies_.erase(which);
  }

  result<void> insert(reply_key key, kept_reply reply) {
    auto headers = seal_reply_text(shared_.seal.get(), key, "headers", reply.headers);
    auto body = seal_reply_text(shared_.seal.get(), key, "body", reply.body);
    if (!headers || !body) return fail(store_problem::no_key, "replies are kept sealed only");
    const std::size_t bytes = held_bytes(reply);
    if (reply_bytes(reply) > std::min(bounds_.entry_bytes, bounds_.total_bytes)) {
      return fail(store_problem::too_large, "the reply is too long to be kept");
    }
    if (replies_.contains(key)) return fail(store_problem::conflict, "a reply is kept under that key");
    while (!replies_.empty() && held_ + bytes > bounds_.total_bytes) remove(oldest());
    reply.headers = std::move(*headers);
    reply.body = std::move(*body);
    held_ += bytes;
    replies_.emplace(std::move(key), entry{std::move(reply), bytes, ++order_});
    return {};
  }

  common& shared_;
  reply_bounds bounds_;
  all replies_;
  std::size_t held_ = 0;
  std::uint64_t order_ = 0;
};

class memory_stores final : public stores {
 public:
  memory_stores(std::shared_ptr<const sealer> seal, reply_bounds bounds, fault_hook fault)
      : replies_{shared_, bounds} {
    shared_.seal = std::move(seal);
    shared_.fault = std::move(fault);
  }
  key_store& keys() override { return keys_; }
  secret_store& secrets() override { return secrets_; }
  setting_store& settings() override { return settings_; }
  trace_store& traces() override { return traces_; }
  reply_store& replies() override { return replies_; }
  chat_store& chats() override { return chats_; }
  usage_store& usage() override { return usage_; }

 private:
  common shared_;
  memory_keys keys_{shared_};
  memory_secrets secrets_{shared_};
  memory_settings settings_{shared_, secrets_};
  memory_traces traces_{shared_};
  memory_replies replies_;
  memory_chats chats_{shared_};
  memory_usage usage_{shared_};
};

}  // namespace

std::unique_ptr<stores> make(std::shared_ptr<const sealer> seal, reply_bounds bounds,
                             fault_hook fault_for_test) {
  return std::make_unique<memory_stores>(std::move(seal), bounds, std::move(fault_for_test));
}

}  // namespace tidegate::storage::memory
