// From settings to what the gateway serves: references become credentials, names become pointers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/configuration.h"
#include "gateway/snapshot.h"
#include "policy/health.h"

namespace tidegate::app {

struct served {
  std::shared_ptr<gateway::snapshot> routes;
  policy::health_settings health;
  // What admin.token refers to; empty when none is configured.
  std::string admin_token;
  // Credentials that could not be had: the reference's name and why, never the content.
  std::vector<config_warning> warnings;
};

// `secrets`: the sealed store; a provider without a reference takes what is sealed under its own name.
served make_snapshot(const configuration& settings, const environment& env, const file_reader& read,
                     const secret_reader& secrets = {});

}  // namespace tidegate::app
