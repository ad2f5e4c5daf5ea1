#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oneflight_oracle::spawn_ops(bytes));
