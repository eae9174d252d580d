// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78, initial value and final xor of all ones; RFC 3720
// appendix B.4), with the processor's instruction where it has one.
#pragma once

#include <cstdint>
#include <string_view>

namespace tidegate::journal {

std::uint32_t crc32c(std::string_view bytes) noexcept;
// The portable way, for processors without the instruction.
std::uint32_t crc32c_portable(std::string_view bytes) noexcept;

}  // namespace tidegate::journal
