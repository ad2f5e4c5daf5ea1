//! Replays the committed corpora, and runs each target on random bytes of fixed seeds.

use std::path::Path;
use std::{env, fs};

use oneflight_oracle::TARGETS;

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

#[test]
fn every_target_agrees_with_its_oracle_on_random_bytes() {
    let inputs =
        env::var("ORACLE_INPUTS").map_or(INPUTS, |inputs| inputs.parse().expect("a number"));
    for (name, target) in TARGETS {
        for seed in 0..inputs {
            let mut random = fastrand::Rng::with_seed(seed);
            let bytes: Vec<u8> = (0..random.usize(..LONGEST))
                .map(|_| random.u8(..))
                .collect();
            let _naming = Naming(name, format!("seed {seed}"));
            target(&bytes);
        }
        println!("{name}: {inputs} random inputs, seeds from 0");
    }
}

#[test]
fn every_target_agrees_with_its_oracle_on_its_corpus() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (name, target) in TARGETS {
        let files = fs::read_dir(corpora.join(name)).expect("each target has a corpus");
        let mut inputs = 0;
        for file in files {
            let path = file.expect("a corpus can be listed").path();
            let _naming = Naming(name, path.display().to_string());
            target(&fs::read(&path).expect("an input can be read"));
            inputs += 1;
        }
        assert!(inputs > 0, "the corpus of {name} is empty");
        println!("{name}: {inputs} inputs of its corpus");
    }
}
