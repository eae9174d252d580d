// The ports over one worker and its readers. Each call is one job; the answers come from their threads.
#pragma once

#include <memory>
#include <utility>

#include "storage/sqlite/reader.h"
#include "storage/sqlite/worker.h"
#include "storage/stores.h"

namespace tidegate::storage::sqlite {

class key_table final : public key_store {
 public:
  explicit key_table(worker& on) : worker_{on} {}
  void put(client_key key, done<void> answer) override;
  void list(done<std::vector<client_key>> answer) override;
  void revoke(std::string id, wall_time at, done<client_key> answer) override;
  void rotate(std::string id, mac_bytes mac, wall_time at, done<client_key> answer) override;

 private:
  worker& worker_;
};

class secret_table final : public secret_store {
 public:
  explicit secret_table(worker& on) : worker_{on} {}
  void set(std::string name, std::string sealed, wall_time at, done<void> answer) override;
  void list(done<std::vector<secret_entry>> answer) override;
  void get(std::string name, done<std::optional<std::string>> answer) override;
  void remove(std::string name, done<void> answer) override;

 private:
  worker& worker_;
};

class setting_table final : public setting_store {
 public:
  explicit setting_table(worker& on) : worker_{on} {}
  void apply(std::vector<setting_change> changes, std::vector<secret_change> secrets, wall_time at,
             done<void> answer) override;
  void list(std::string prefix, done<std::vector<setting>> answer) override;
  void get(std::string name, done<std::optional<std::string>> answer) override;

 private:
  worker& worker_;
};

class trace_table final : public trace_store {
 public:
  trace_table(worker& on, std::shared_ptr<const sealer> seal, bool keeps_texts)
      : worker_{on}, seal_{std::move(seal)}, writing_seal_{keeps_texts ? seal_ : nullptr} {}
  void put(std::vector<trace_record> batch, done<void> answer) override;
  void get(std::string run_id, done<std::optional<trace_record>> answer) override;
  void put_feedback(feedback_record feedback, done<feedback_outcome> answer) override;
  void feedback_of(std::string run_id, done<std::vector<stored_feedback>> answer) override;
  void is_strong_negative(std::string group, done<bool> answer) override;
  void purge(wall_time completed_before, std::size_t rows_max, done<std::size_t> answer) override;

 private:
  worker& worker_;
  std::shared_ptr<const sealer> seal_;
  std::shared_ptr<const sealer> writing_seal_;  // null: texts are left out
};

class reply_table final : public reply_store {
 public:
  reply_table(worker& on, std::shared_ptr<const sealer> seal, reply_bounds bounds)
      : worker_{on}, seal_{std::move(seal)}, bounds_{bounds} {}
  void put(reply_key key, kept_reply reply, done<void> answer) override;
  void get(reply_key key, wall_time made_since, done<std::optional<kept_reply>> answer) override;
  void purge(wall_time created_before, std::size_t rows_max, done<std::size_t> answer) override;

 private:
  worker& worker_;
  std::shared_ptr<const sealer> seal_;
  reply_bounds bounds_;
};

class chat_table final : public chat_store {
 public:
  // Searches of one project under way or waiting: what is asked for beyond them is `overloaded`, so that
  // there is room for others'.
  static constexpr std::size_t project_searches_max = 4;

  chat_table(worker& on, reader& lists, reader& searches);
  void send(chat_send message, done<chat_result<chat_sent>> answer) override;
  void take_places(chat_claim claim, done<chat_result<chat_claimed>> answer) override;
  void return_places(std::string project_id, std::string session_id, std::int64_t places,
                     done<void> answer) override;
  void add_turn(chat_turn turn, done<chat_result<chat_turn_added>> answer) override;
  void remove_turn(chat_turn_removal turn, done<void> answer) override;
  void list(std::string project_id, std::optional<std::string> session_id,
            done<chat_result<std::vector<chat_message>>> answer) override;
  void history(std::string project_id, std::string session_id, std::optional<std::string> before,
               std::size_t bytes_max, done<std::vector<chat_message>> answer) override;
  void clear(std::string project_id, std::optional<std::string> session_id, wall_time at,
             done<chat_result<std::size_t>> answer) override;
  void sessions(std::string project_id, std::string query, done<std::vector<chat_session>> answer) override;
  void archive(std::string project_id, std::string session_id, done<chat_result<void>> answer) override;
  void erase(std::string project_id, std::string session_id, done<chat_result<void>> answer) override;
  void project_of(std::string session_id, done<std::optional<std::string>> answer) override;

 private:
  struct search_places;
  worker& worker_;
  reader& lists_;
  reader& searches_;
  const std::shared_ptr<search_places> places_;  // shared with answers to come
};

class usage_table final : public usage_store {
 public:
  usage_table(worker& on, reader& lists) : worker_{on}, lists_{lists} {}
  void record(std::vector<usage_call> calls, done<void> answer) override;
  void list(usage_filter filter, std::size_t limit, done<std::vector<usage_request>> answer) override;
  void totals(usage_filter filter, done<usage_totals> answer) override;
  void calls_of(std::string key_id, std::string request_id, done<std::vector<usage_call>> answer) override;
  void purge(wall_time before, std::size_t rows_max, done<std::size_t> answer) override;

 private:
  worker& worker_;
  reader& lists_;
};

// Inside a transaction of the caller's; shared by secret_table and setting_table.
result<void> write_secret(connection& db, const std::string& name, const std::string& sealed, wall_time at);
// Whether there was one.
result<bool> erase_secret(connection& db, const std::string& name);
// The one number of a statement's only row.
result<std::int64_t> count_of(connection& db, const char* sql);

template <typename T>
std::unexpected<store_failure> pass_on(result<T>& failed) {
  return std::unexpected{std::move(failed.error())};
}

}  // namespace tidegate::storage::sqlite
