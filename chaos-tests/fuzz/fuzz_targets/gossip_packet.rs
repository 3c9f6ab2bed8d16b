//! A packet on the gossip port.

#![no_main]

use chaos_tests::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::gossip_packet::run(bytes));
