// From settings to what the session surface is built with.
#pragma once

#include "app/configuration.h"
#include "session/service.h"

namespace tidegate::app {

session::service_settings session_settings_of(const configuration& settings);

}  // namespace tidegate::app
