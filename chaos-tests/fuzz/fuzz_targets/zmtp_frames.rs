//! Traffic of a ZMTP connection after its handshake.

#![no_main]

use chaos_tests::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::zmtp_frames::run(bytes));
