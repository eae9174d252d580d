#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "app/cli.h"
#include "app/command/commands.h"
#include "app/command/verify_journal.h"
#include "app/process.h"
#include "journal/journal_kit.h"
#include "journal/posix_files.h"
#include "protocol/json/json.h"

namespace tidegate::app::command {
namespace {

using journal::durability;
using journal::kit::life;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct captured {
  int code = 0;
  std::string out;
  std::string err;
};

// A data directory with a closed journal of two runs, and the command as main calls it.
class audit_command : public testing::Test {
 protected:
  audit_command() : root{testing::TempDir() + "tidegate-audit-XXXXXX"} {
    if (::mkdtemp(root.data()) == nullptr) ADD_FAILURE() << "no temporary folder";
    settings.dir = root + "/journal";
    write({R"({"event":"ai_run_started","runId":"run-1","traceId":"aaa","provider":"openai","stream":true})",
           R"({"event":"ai_run_started","runId":"run-2","traceId":"bbb","provider":"open ai"})",
           R"({"event":"ai_run_completed","runId":"run-1","traceId":"aaa","code":"OK"})"});
  }
  ~audit_command() override { std::filesystem::remove_all(root); }

  void write(const std::vector<std::string>& payloads) {
    journal::posix_files files;
    life now{settings, files, time};
    ASSERT_TRUE(now.open()) << now.refusal;
    journal::entry made;
    for (const std::string& payload : payloads) made.records.add(time.wall(), payload);
    now.commits->run({&made, 1});
    now.commits->finish();
    time.advance(std::chrono::hours{1});
  }
  captured run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "audit");
    arguments.insert(arguments.end(), {"--data", root});
    const auto parsed = parse_command_line(arguments);
    if (!parsed) return {parsed.error().code, {}, parsed.error().text};
    std::ostringstream out;
    std::ostringstream err;
    console terminal{out, err, false, {}, read_system_file};
    const int code = run_audit(std::get<audit_options>(*parsed), terminal);
    return {code, out.str(), err.str()};
  }
  // tools/audit_verify.py with the same words.
  captured script(const std::string& arguments) {
    const std::string command = "python3 " TIDEGATE_SOURCE_DIR "/tools/audit_verify.py " + arguments +
                                " --data " + root + " 2>/dev/null";
    FILE* pipe = ::popen(command.c_str(), "r");
    captured got;
    std::array<char, 4096> bytes{};
    while (const std::size_t n = std::fread(bytes.data(), 1, bytes.size(), pipe))
      got.out.append(bytes.data(), n);
    got.code = ::pclose(pipe) >> 8;
    return got;
  }
  void flip(std::streamoff at) {
    std::fstream segment{settings.dir + "/00000000000000000001.seg",
                         std::ios::in | std::ios::out | std::ios::binary};
    segment.seekg(at);
    const int was = segment.get();
    segment.seekp(at);
    segment.put(static_cast<char>(was ^ 1));
  }

  std::string root;
  journal::settings settings;
  foundation::manual_clock time;
};

TEST_F(audit_command, verify_says_what_it_checked) {
  const captured seen = run({"verify"});
  EXPECT_EQ(seen.code, 0) << seen.out << seen.err;
  EXPECT_THAT(seen.out,
              HasSubstr("records: 5 (1 to 5), segments: 1, checkpoints: 1, shipped checkpoints: 0\nhead: "));
  EXPECT_TRUE(seen.out.ends_with("\nok\n"));
  const captured same = script("verify");
  EXPECT_EQ(same.code, 0);
  EXPECT_EQ(same.out, seen.out);
}

TEST_F(audit_command, verify_names_the_first_broken_record) {
  flip(200);
  const captured seen = run({"verify"});
  EXPECT_EQ(seen.code, 1);
  EXPECT_THAT(seen.out,
              HasSubstr("broken: 00000000000000000001.seg: offset 64, record 1: the record is damaged"));
  const captured same = script("verify");
  EXPECT_EQ(same.code, 1);
  EXPECT_EQ(same.out, seen.out);
}

TEST_F(audit_command, verify_prints_json_on_demand) {
  const captured sound = run({"verify", "--json"});
  EXPECT_EQ(sound.code, 0);
  const auto good = protocol::json::parse(sound.out.substr(0, sound.out.size() - 1));
  ASSERT_TRUE(good) << sound.out;
  EXPECT_EQ(script("verify --json").out, sound.out);
  flip(200);
  const captured broken = run({"verify", "--json"});
  EXPECT_EQ(broken.code, 1);
  EXPECT_THAT(broken.out,
              HasSubstr(R"("fault":{"file":"00000000000000000001.seg","offset":64,"sequence":1,"what":")"));
  EXPECT_EQ(script("verify --json").out, broken.out);
}

TEST_F(audit_command, verify_takes_shipped_checkpoints) {
  const std::string shipped = root + "/shipped.jsonl";
  std::filesystem::copy_file(settings.dir + "/checkpoints.jsonl", shipped);
  write({R"({"event":"later","runId":"run-3","traceId":"ccc"})"});
  const captured seen = run({"verify", "--checkpoint", shipped});
  EXPECT_EQ(seen.code, 0) << seen.out;
  EXPECT_THAT(seen.out, HasSubstr("shipped checkpoints: 1\n"));
  EXPECT_EQ(script("verify --checkpoint " + shipped).out, seen.out);
  std::ofstream{shipped} << "nonsense\n";
  const captured wrong = run({"verify", "--checkpoint", shipped});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_EQ(wrong.err, shipped + ":1: not a checkpoint\n");
  EXPECT_EQ(script("verify --checkpoint " + shipped).code, 2);
  EXPECT_EQ(run({"verify", "--checkpoint", root + "/none"}).code, 2);
  EXPECT_EQ(script("verify --checkpoint " + root + "/none").code, 2);
}

TEST_F(audit_command, a_tail_in_flight_is_no_fault_while_the_lock_is_held) {
  std::ofstream{settings.dir + "/00000000000000000001.seg", std::ios::app} << "half a record";
  EXPECT_THAT(run({"verify"}).out, HasSubstr("note: 00000000000000000001.seg: 13 bytes"));
  const int lock = ::open((root + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  const captured seen = run({"verify"});
  EXPECT_EQ(seen.code, 0) << seen.out;
  EXPECT_THAT(seen.out, HasSubstr("(in use)"));
  EXPECT_THAT(seen.out, Not(HasSubstr("note:")));
  EXPECT_EQ(script("verify").out, seen.out);
  ::close(lock);
}

// A file system that lets something happen when a file is opened for reading.
class eventful_files final : public journal::file_system {
 public:
  std::string at;  // a part of the file's name
  std::function<void()> happens;

  journal::io<std::unique_ptr<journal::file>> open(const std::string& path,
                                                   journal::open_mode mode) override {
    // The picture before opens each file first; what is meant is the survey's look behind it.
    if (happens && path.find(at) != std::string::npos && ++opened_ == 2) std::exchange(happens, nullptr)();
    return files_.open(path, mode);
  }
  journal::io<std::vector<std::string>> list(const std::string& d) override { return files_.list(d); }
  journal::io<void> rename(const std::string& a, const std::string& b) override {
    return files_.rename(a, b);
  }
  journal::io<void> remove(const std::string& p) override { return files_.remove(p); }
  journal::io<void> make_directory(const std::string& p) override { return files_.make_directory(p); }
  journal::io<void> sync_directory(const std::string& p) override { return files_.sync_directory(p); }

 private:
  journal::posix_files files_;
  int opened_ = 0;
};

TEST_F(audit_command, a_gateway_that_starts_or_stops_while_the_journal_is_read_changes_no_verdict) {
  const std::string segment = settings.dir + "/00000000000000000001.seg";
  journal::survey_request request;
  request.dir = settings.dir;
  {
    // It starts and writes: the survey, which took the journal for a resting one, meets half a record.
    bool held = false;
    eventful_files files;
    files.at = "checkpoints.jsonl";
    files.happens = [&] {
      held = true;
      std::ofstream{settings.dir + "/checkpoints.jsonl", std::ios::app} << "half a line";
    };
    const auto verdict = verify_journal(files, request, [&] { return held; });
    EXPECT_FALSE(verdict.seen.fault) << to_text(*verdict.seen.fault);
    EXPECT_TRUE(verdict.live);
    std::filesystem::resize_file(settings.dir + "/checkpoints.jsonl",
                                 std::filesystem::file_size(settings.dir + "/checkpoints.jsonl") - 11);
  }
  {
    // It comes and goes in between.
    eventful_files files;
    files.at = ".seg";
    files.happens = [&] { write({R"({"event":"later","runId":"run-3","traceId":"ccc"})"}); };
    const auto verdict = verify_journal(files, request, [] { return false; });
    EXPECT_FALSE(verdict.seen.fault) << to_text(*verdict.seen.fault);
    EXPECT_EQ(verdict.seen.last, 8U) << "what is said is said of the journal as it is now";
  }
  {
    // It stops, and somebody has removed a state: at rest that is a fault.
    bool held = true;
    eventful_files files;
    files.at = ".seg";
    files.happens = [&] {
      held = false;
      for (const auto& file : std::filesystem::directory_iterator{settings.dir}) {
        if (file.path().extension() == ".state") std::filesystem::remove(file.path());
      }
    };
    const auto verdict = verify_journal(files, request, [&] { return held; });
    EXPECT_TRUE(verdict.seen.fault);
    EXPECT_FALSE(verdict.live);
  }
}

TEST_F(audit_command, show_prints_the_records_of_a_trace_or_a_run) {
  const captured seen = run({"show", "aaa"});
  EXPECT_EQ(seen.code, 0);
  EXPECT_EQ(
      seen.out,
      "2023-11-14T22:13:20.000Z  1  ai_run_started  runId=run-1  traceId=aaa  provider=openai  stream=true\n"
      "2023-11-14T22:13:20.000Z  3  ai_run_completed  runId=run-1  traceId=aaa  code=OK\n");
  EXPECT_EQ(script("show aaa").out, seen.out);
  EXPECT_THAT(run({"show", "run-2"}).out, HasSubstr("provider=\"open ai\"\n"));
  EXPECT_EQ(script("show run-2").out, run({"show", "run-2"}).out);
  const captured none = run({"show", "nobody"});
  EXPECT_EQ(none.code, 1);
  EXPECT_EQ(none.err, "tidegate audit: no record of nobody\n");
  EXPECT_EQ(script("show nobody").code, 1);
}

TEST_F(audit_command, tail_prints_the_newest) {
  const captured two = run({"tail", "-n", "2"});
  EXPECT_EQ(two.code, 0);
  EXPECT_THAT(two.out, StartsWith("2023-11-14T22:13:20.000Z  4  journal_state  sequence=4"));
  EXPECT_THAT(two.out, HasSubstr("\n2023-11-14T22:13:20.000Z  5  journal_checkpoint  count=4"));
  EXPECT_EQ(script("tail -n 2").out, two.out);
  EXPECT_EQ(script("tail").out, run({"tail"}).out);
}

TEST_F(audit_command, export_prints_json_lines_from_a_time_on) {
  const captured all = run({"export"});
  EXPECT_EQ(all.code, 0);
  EXPECT_THAT(
      all.out,
      StartsWith(R"({"sequence":1,"time":"2023-11-14T22:13:20.000Z","type":"event","data":{"event":)"));
  EXPECT_EQ(script("export").out, all.out);
  write({R"({"event":"later","runId":"run-3","traceId":"ccc"})"});
  const captured later = run({"export", "--since", "2023-11-14T22:30:00Z"});
  EXPECT_THAT(later.out, StartsWith(R"({"sequence":6,"time":"2023-11-14T23:13:20.000Z")"));
  EXPECT_EQ(script("export --since 2023-11-14T22:30:00Z").out, later.out);
  EXPECT_EQ(run({"export", "--since", "24h"}).out, "") << "long ago by the clock of the machine";
  EXPECT_EQ(run({"export", "--since", "2023-11-14"}).out, run({"export"}).out);
  EXPECT_EQ(run({"export", "--since", "yesterday"}).code, 2);
  EXPECT_EQ(run({"export", "--format", "csv"}).code, 2);
}

TEST_F(audit_command, no_journal_is_a_failure_and_wrong_usage_is_another) {
  std::filesystem::remove_all(settings.dir);
  const captured gone = run({"verify"});
  EXPECT_EQ(gone.code, 1);
  EXPECT_THAT(gone.err, HasSubstr("No such file or directory"));
  EXPECT_EQ(script("verify").code, 1);
  EXPECT_EQ(run({}).code, 2);
  EXPECT_EQ(script("").code, 2);
  EXPECT_EQ(run({"show"}).code, 2);
}

}  // namespace
}  // namespace tidegate::app::command
