#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oneflight_oracle::work_ops(bytes));
