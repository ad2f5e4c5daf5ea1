//! Replays the committed corpora, and runs each target on random bytes of fixed seeds.

use std::path::Path;
use std::{env, fs};

use oneflight_oracle::{TARGETS, Target};

/// Random inputs for each target, unless `ORACLE_INPUTS` says another number.
const INPUTS: u64 = 150;
const LONGEST: usize = 900;

/// Names the input when the target panics.
struct Naming<'a>(&'a str, String);

impl Drop for Naming<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} fails on {}", self.0, self.1);
        }
    }
}

fn target(name: &str) -> Target {
    let named = TARGETS.iter().find(|(other, _)| *other == name);
    named.expect("a target of that name").1
}

fn random_bytes(name: &str) {
    let inputs =
        env::var("ORACLE_INPUTS").map_or(INPUTS, |inputs| inputs.parse().expect("a number"));
    for seed in 0..inputs {
        let mut random = fastrand::Rng::with_seed(seed);
        let bytes: Vec<u8> = (0..random.usize(..LONGEST))
            .map(|_| random.u8(..))
            .collect();
        let _naming = Naming(name, format!("seed {seed}"));
        target(name)(&bytes);
    }
    println!("{name}: {inputs} random inputs, seeds from 0");
}

fn corpus(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus")
        .join(name);
    let mut inputs = 0;
    for file in fs::read_dir(folder).expect("each target has a corpus") {
        let path = file.expect("a corpus can be listed").path();
        let _naming = Naming(name, path.display().to_string());
        target(name)(&fs::read(&path).expect("an input can be read"));
        inputs += 1;
    }
    assert!(inputs > 0, "the corpus of {name} is empty");
    println!("{name}: {inputs} inputs of its corpus");
}

macro_rules! tests_of {
    ($($name:ident)*) => {
        $(mod $name {
            #[test]
            fn agrees_with_its_oracle_on_random_bytes() {
                super::random_bytes(stringify!($name));
            }

            #[test]
            fn agrees_with_its_oracle_on_its_corpus() {
                super::corpus(stringify!($name));
            }
        })*

        #[test]
        fn every_target_is_tested() {
            assert_eq!(TARGETS.map(|(name, _)| name), [$(stringify!($name)),*]);
        }
    };
}

tests_of!(cell_ops group_ops settle_cancel work_ops gate_ops retain_ops);
