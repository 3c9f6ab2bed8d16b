//! The begin of a ZMTP connection, from either side.

#![no_main]

use chaos_tests::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::zmtp_handshake::run(bytes));
