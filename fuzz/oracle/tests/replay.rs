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

/// The named inputs of a target: a line each, `NAME BYTES` in hexadecimal, after a comment that says what it shows.
fn inputs_of(corpus: &str) -> impl Iterator<Item = (&str, Vec<u8>)> {
    let lines = corpus.lines();
    lines.filter(|line| !line.starts_with('#')).map(|line| {
        let (name, digits) = line.split_once(' ').expect("a name and bytes");
        let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
        (name, bytes.expect("two digits a byte"))
    })
}

fn corpus(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../corpus/{name}.txt"));
    let corpus = fs::read_to_string(file).expect("each target has a corpus");
    let mut inputs = 0;
    for (input, bytes) in inputs_of(&corpus) {
        let _naming = Naming(name, input.into());
        target(name)(&bytes);
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

tests_of!(cell_ops group_ops settle_cancel work_ops spawn_ops gate_ops retain_ops);
